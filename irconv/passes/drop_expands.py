"""Dropping of Expand before operators that broadcast.

An elementwise operator of two or more operands expands each to the shape of all (ONNX,
*Multidirectional Broadcasting*). An Expand is no step of its own where each of its readers is such
an operator with other operands that bring the sizes that it brings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
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
    """Read what an Expand reads where all of its readers expand it themselves.

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

    An Expand stays for all of its readers where one of them needs it: it is computed then anyway,
    and readers of one value are easier to fuse than readers of two. What nothing reads any more
    goes with eliminate-dead-code.
    """

    name: ClassVar[str] = "drop-expands"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fold-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Drop what can be dropped, and look again at the other operands of what read it.

        Linear in nodes, but for those. Sizes are followed where an Expand is read only.
        """
        from irconv.graph.symbolic.sizes import Sizes

        sizes, sites = Sizes(model), Sites(context)
        refused: dict[ir.Node, Refusal] = {}
        waiting = deque(node for graph in all_graphs(model) for node in graph)
        while waiting:
            node = waiting.popleft()
            source = _expanded(node)
            if source is None:
                continue
            readers = list(dict.fromkeys(use.node for use in node.outputs[0].uses()))
            if not any(_broadcasts(reader, model) for reader in readers):
                continue
            reason = _obstacle(node, source, readers, model, sizes)
            refused.pop(node, None)
            if reason:
                refused[node] = Refusal(node.name or "", node.op_type, reason)
            elif sites.permit(node):
                node.outputs[0].replace_all_uses_with(source)
                _remove(node)
                operands = [value for reader in readers for value in reader.inputs if value]
                again = dict.fromkeys(value.producer() for value in operands)
                waiting.extend(other for other in again if other)
        refusals = tuple(refused.values())
        return PassResult(bool(sites.made), {"dropped": len(sites.made)}, refusals, sites.made)


def _expanded(node: ir.Node) -> ir.Value | None:
    """Return what an Expand expands; None for any other node."""
    if node.op_type != "Expand" or node.domain != "" or not node.inputs:
        return None
    return node.inputs[0]


def _broadcasts(node: ir.Node, model: ir.Model) -> bool:
    """Say whether an operator expands its operands by itself."""
    standard = node.domain == "" and node.op_type in _BROADCAST and len(node.inputs) > 1
    return standard and node.op_identifier() not in model.functions


def _obstacle(
    expand: ir.Node, source: ir.Value, readers: list[ir.Node], model: ir.Model, sizes: Sizes
) -> str:
    """Return why some reader of an Expand needs it; the empty text if none does."""
    output = expand.outputs[0]
    if output.is_graph_output():
        return f"{output.name!r} is an output of the graph"
    for node in readers:
        if not _broadcasts(node, model):
            return f"{node.op_type} {node.name!r} reads it, which does not broadcast"
        if node.graph is not expand.graph:
            return f"{node.op_type} {node.name!r} reads it in another graph"
        before = _broadcast(node.inputs, sizes)
        after = _broadcast([source if value is output else value for value in node.inputs], sizes)
        if before is None or after is None:
            return f"the rank of an operand of {node.op_type} {node.name!r} is not known"
        if before != after:
            return f"nothing else surely brings all sizes of {node.outputs[0].name!r}"
    return ""


def _broadcast(operands: Iterable[ir.Value | None], sizes: Sizes) -> Dims | None:
    from irconv.graph.symbolic.dims import broadcast

    result: Dims = ()
    for value in operands:
        dims = sizes.dims(value)
        if dims is None:
            return None
        result = broadcast(result, dims)
    return result


def _remove(expand: ir.Node) -> None:
    assert expand.graph is not None
    inputs = list(expand.inputs)
    expand.graph.remove(expand, safe=True)
    for value in inputs:
        drop_unread(value)
