"""Dropping of Expand before operators that broadcast.

An elementwise operator of two or more operands expands each to the shape of all (ONNX,
*Multidirectional Broadcasting*). An Expand before it is no step of its own where the other operands
bring the sizes that it brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from irconv.graph.unread import drop_unread
from irconv.graph.walk import all_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites

if TYPE_CHECKING:
    from irconv.graph.symbolic.dims import Dims
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["DropExpands"]

_BROADCAST = frozenset(
    {
        "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
        "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow",
        "Sub", "Sum", "Where", "Xor",
    }
)  # fmt: skip


@dataclass(frozen=True)
class DropExpands(Pass):
    """Read what an Expand reads where the operator expands it itself.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x, float[4] b) => (float[N, 4] y)
        <int64[2] shape, float[N, 4] e> {
            shape = Shape(x)
            e = Expand(b, shape)
            y = Add(x, e)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x, float[4] b) => (float[N, 4] y)
        <int64[2] shape> {
            shape = Shape(x)
            y = Add(x, b)
        }

    What nothing reads any more goes with eliminate-dead-code.
    """

    name: ClassVar[str] = "drop-expands"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fold-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Drop in one sweep; linear in nodes. Sizes are followed where an Expand is read only."""
        from irconv.graph.symbolic.sizes import Sizes

        dropper = _Dropper(Sizes(model), Sites(context))
        for graph in all_graphs(model):
            for node in tuple(graph):
                if node.op_type not in _BROADCAST or node.op_identifier() in model.functions:
                    continue
                if node.domain == "" and len(node.inputs) > 1:
                    dropper.drop(node)
        made = dropper.sites.made
        return PassResult(bool(made), {"dropped": len(made)}, tuple(dropper.refusals), made)


class _Dropper:
    def __init__(self, sizes: Sizes, sites: Sites) -> None:
        self.sites = sites
        self.refusals: list[Refusal] = []
        self._sizes = sizes

    def drop(self, node: ir.Node) -> None:
        """Drop each Expand that a node reads, as long as its result keeps its shape."""
        for index, value in enumerate(node.inputs):
            expand = None if value is None else value.producer()
            if expand is None or expand.op_type != "Expand" or expand.domain != "":
                continue
            source = expand.inputs[0] if expand.inputs else None
            if source is None:
                continue
            reason = self._obstacle(node, index, expand, source)
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif self.sites.permit(node):
                node.replace_input_with(index, source)
                _remove_unread(expand)

    def _obstacle(self, node: ir.Node, index: int, expand: ir.Node, source: ir.Value) -> str:
        if expand.graph is not node.graph:
            return f"{expand.outputs[0].name!r} is expanded in another graph"
        operands = list(node.inputs)
        before = self._broadcast(operands)
        operands[index] = source
        after = self._broadcast(operands)
        if before is None or after is None:
            return "the rank of an operand is not known"
        if before != after:
            return f"nothing but {expand.outputs[0].name!r} surely brings all sizes of the result"
        return ""

    def _broadcast(self, operands: Sequence[ir.Value | None]) -> Dims | None:
        from irconv.graph.symbolic.dims import broadcast

        result: Dims = ()
        for value in operands:
            dims = self._sizes.dims(value)
            if dims is None:
                return None
            result = broadcast(result, dims)
        return result


def _remove_unread(expand: ir.Node) -> None:
    output = expand.outputs[0]
    if output.uses() or output.is_graph_output() or expand.graph is None:
        return
    inputs = list(expand.inputs)
    expand.graph.remove(expand, safe=True)
    for value in inputs:
        drop_unread(value)
