"""Elimination of nodes whose output is one of their inputs, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.passes.no_op_checks import CHECKS, REAL_CHECKS
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["EliminateNoOp"]


@dataclass(frozen=True)
class EliminateNoOp(NodeRewrite[ir.Value]):
    """Remove a ``Cast`` to the same dtype, a ``Transpose`` that keeps the order, and the like.

    The operators are those of :data:`irconv.passes.no_op_checks.CHECKS`. Adding the float 0.0
    is not one of them: it turns -0.0 into 0.0. Adding -0.0, subtracting 0.0, and multiplying
    or dividing by 1 are exact, and go where broadcasting keeps the shape.

    Attributes:
        signed_zeros: Whether -0.0 and 0.0 count as different numbers; if not, adding 0.0 is a
            no-op too, and the pass is no longer bit-exact.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y)
        <float one = {1}> {
            a = Cast <to = 1> (x)
            b = Transpose <perm = [0, 1]> (a)
            c = Mul(b, one)
            y = Relu(c)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y)
        <float one = {1}> {
            y = Relu(x)
        }
    """

    name: ClassVar[str] = "eliminate-no-op"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants")

    op_types: ClassVar[frozenset[str]] = frozenset({*CHECKS, *REAL_CHECKS})
    counted: ClassVar[str] = "removed"

    signed_zeros: bool = True

    def __post_init__(self) -> None:
        if not self.signed_zeros:
            object.__setattr__(self, "effect", "real-arithmetic")

    def match(self, node: ir.Node, place: Place) -> ir.Value | str | None:
        """Return which input the first output is; see :class:`NodeRewrite`."""
        check = CHECKS.get(node.op_type)
        if not self.signed_zeros:
            check = REAL_CHECKS.get(node.op_type, check)
        verdict = None if check is None else check(node, place.scope.opsets)
        if verdict is None or isinstance(verdict, str):
            return verdict
        if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
            return "a further output is used"
        return place.editor.blocker(node.outputs[0], verdict) or verdict

    def rewrite(self, node: ir.Node, match: ir.Value, place: Place) -> None:
        """Let the readers of the first output read that input."""
        place.editor.redirect(node.outputs[0], match)
        place.editor.remove(node)
