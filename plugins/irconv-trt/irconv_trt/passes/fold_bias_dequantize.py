"""Folding of dequantized int32 constants: a bias b = (q - z) * s becomes the floats b.

Quantizers store a bias as int32 behind a DequantizeLinear. TensorRT dequantizes no int32, and
has no use for it: it adds biases in float32. The product is computed as DequantizeLinear does,
in the scale's dtype, so no number changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv_trt.passes.quantized_groups import is_operator, zero_point_of

__all__ = ["FoldBiasDequantize", "dequantized"]


@dataclass(frozen=True)
class FoldBiasDequantize(Pass):
    """Turn a DequantizeLinear of int32 constants into constants.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2] x) => (float[2] y)
        <int32[2] q = {3, -8}, float s = {0.5}>
        {
            b = DequantizeLinear(q, s)
            y = Add(x, b)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2] x) => (float[2] y)
        <float[2] b_folded = {1.5, -4.0}>
        {
            y = Add(x, b_folded)
        }
    """

    name: ClassVar[str] = "fold-bias-dequantize"
    after: ClassVar[tuple[str, ...]] = ("convert-opset", "infer-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold every such node of the main graph and its bodies; linear in nodes."""
        del context
        names = NameAllocator(model)
        refusals: list[Refusal] = []
        folded = 0
        for graph in (model.graph, *nested_graphs(model.graph)):
            for node in list(graph):
                if not is_operator(node, "DequantizeLinear") or not _is_int32(node.inputs[0]):
                    continue
                tensor = dequantized(node)
                if tensor is None or node.outputs[0].is_graph_output():
                    reason = "its operands are not constant, or its output is the graph's"
                    refusals.append(Refusal(node.name or "", node.op_type, reason))
                    continue
                replace_by_constant(node, tensor, names)
                folded += 1
        return PassResult(folded > 0, {"folded": folded}, tuple(refusals))


def _is_int32(value: ir.Value | None) -> bool:
    return value is not None and value.dtype == ir.DataType.INT32


def dequantized(node: ir.Node) -> ir.Tensor[Any] | None:
    """Return what a DequantizeLinear of constants computes, or None where it is no such node.

    Taken are one scale, and one scale for each index of an axis; blocks are not.
    """
    data, scale = (constant_tensor(value) for value in node.inputs[:2])
    zero_point = zero_point_of(node)
    zero = None if zero_point is None else constant_tensor(zero_point)
    if data is None or scale is None or (zero is None and zero_point is not None):
        return None
    blocks = node.attributes.get_int("block_size", 0)
    if scale.dtype != ir.DataType.FLOAT or blocks:
        return None
    integers, factors = data.numpy().astype(np.int64), scale.numpy()
    shape = [1] * integers.ndim
    if factors.ndim == 1 and factors.size > 1:
        axis = node.attributes.get_int("axis", 1)
        if not -integers.ndim <= axis < integers.ndim:
            return None
        shape[axis] = -1
    if zero is not None:
        integers = integers - zero.numpy().astype(np.int64).reshape(shape)
    return ir.Tensor(integers.astype(np.float32) * factors.reshape(shape))


def replace_by_constant(node: ir.Node, tensor: ir.Tensor[Any], names: NameAllocator) -> None:
    """Put an initializer in the place of ``node``; operands that are left unread are removed."""
    graph, output = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    name = names.fresh(f"{output.name}_folded")
    tensor.name = name
    value = ir.Value(
        name=name,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    output.replace_all_uses_with(value)
    operands = [operand for operand in node.inputs if operand is not None]
    graph.remove(node, safe=True)
    remove_unread(operands)


def remove_unread(operands: list[ir.Value]) -> None:
    """Remove those of the constants ``operands`` that nothing reads any more."""
    for value in dict.fromkeys(operands):
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            continue
        graph, producer = value.graph, value.producer()
        assert isinstance(graph, ir.Graph)
        if value.is_initializer():
            del graph.initializers[value.name or ""]
        elif producer is not None and producer.op_type == "Constant":
            graph.remove(producer, safe=True)
