"""Elimination of ``Identity`` nodes: y = x, so every reader of y may read x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.edit import Editor
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass, PassContext, PassResult, Refusal

__all__ = ["EliminateIdentity"]


@dataclass(frozen=True)
class EliminateIdentity(Pass):
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

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Remove what can be removed, in one sweep; linear in nodes."""
        del context
        editor = Editor(model)
        refusals: list[Refusal] = []
        for node in all_nodes(model):
            if node.op_type != "Identity" or node.domain != "":
                continue
            source = node.inputs[0] if len(node.inputs) == 1 else None
            if source is None or len(node.outputs) != 1:
                continue
            reason = editor.blocker(node.outputs[0], source)
            if reason:
                refusals.append(Refusal(node.name or "", node.op_type, reason))
                continue
            editor.redirect(node.outputs[0], source)
            editor.remove(node)
        removed = editor.finish()
        return PassResult(removed > 0, {"removed": removed}, tuple(refusals))
