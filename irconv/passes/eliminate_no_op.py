"""Elimination of nodes whose output is one of their inputs, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.edit import Editor
from irconv.graph.scopes import scopes
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.no_op_checks import CHECKS, REAL_CHECKS

__all__ = ["EliminateNoOp"]


@dataclass(frozen=True)
class EliminateNoOp(Pass):
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

    signed_zeros: bool = True

    def __post_init__(self) -> None:
        if not self.signed_zeros:
            object.__setattr__(self, "effect", "real-arithmetic")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Remove what can be removed, in one sweep; linear in nodes."""
        del context
        checks = CHECKS if self.signed_zeros else {**CHECKS, **REAL_CHECKS}
        editor = Editor(model)
        refusals: list[Refusal] = []
        for scope in scopes(model):
            for node in scope.nodes():
                check = checks.get(node.op_type) if node.domain == "" else None
                if check is None or node.op_identifier() in model.functions:
                    continue
                verdict = check(node, scope.opsets)
                if verdict is None:
                    continue
                reason = verdict if isinstance(verdict, str) else _bypass(node, verdict, editor)
                if reason:
                    refusals.append(Refusal(node.name or "", node.op_type, reason))
        removed = editor.finish()
        return PassResult(removed > 0, {"removed": removed}, tuple(refusals))


def _bypass(node: ir.Node, source: ir.Value, editor: Editor) -> str:
    """Let readers of the first output read ``source``; return why not where that cannot be."""
    output = node.outputs[0]
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return "a further output is used"
    reason = editor.blocker(output, source)
    if not reason:
        editor.redirect(output, source)
        editor.remove(node)
    return reason
