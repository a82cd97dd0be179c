"""Elimination of ``Identity`` nodes: y = x, so every reader of y may read x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["EliminateIdentity"]


@dataclass(frozen=True)
class EliminateIdentity(NodeRewrite[ir.Value]):
    """Remove ``Identity`` nodes, also of sequences and optionals, in bodies and functions.

    An ``Identity`` from an input or an initializer to a graph output stays, because both names
    are part of the interface; so does one that hands an outer value out of a body.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            a = Identity(x)
            b = Relu(a)
            y = Identity(b)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            y = Relu(x)
        }
    """

    name: ClassVar[str] = "eliminate-identity"

    op_types: ClassVar[frozenset[str]] = frozenset({"Identity"})
    counted: ClassVar[str] = "removed"

    def match(self, node: ir.Node, place: Place) -> ir.Value | str | None:
        """Return what an ``Identity`` reads; see :class:`NodeRewrite`."""
        source = node.inputs[0] if len(node.inputs) == 1 else None
        if source is None or len(node.outputs) != 1:
            return None
        return place.editor.blocker(node.outputs[0], source) or source

    def rewrite(self, node: ir.Node, match: ir.Value, place: Place) -> None:
        """Let the readers of the ``Identity`` read what it reads."""
        place.editor.redirect(node.outputs[0], match)
        place.editor.remove(node)
