"""Rewriting of uint8 quantization to int8, number for number.

TensorRT takes uint8 quantization for int8. With q8 = q - 128 and z8 = z - 128, where q is a
uint8 number and z its zero point::

    QuantizeLinear    saturate(round(x / s) + z, 0, 255) - 128 = saturate(round(x / s) + z8, -128, 127)
    DequantizeLinear  (q - z) * s = (q8 - z8) * s

Both sides are equal in integer arithmetic, so nothing is rounded anew. Between the two, values
may pass through operators that only move them or compare them. All values that such operators
connect are rewritten together or not at all. Local functions, whose values have no dtype of
their own, are left alone.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult
from irconv_trt.passes.constants import add_initializer, drop_unread
from irconv_trt.passes.quantized_groups import QuantizedGroup, is_operator, zero_point_of

__all__ = ["RewriteUint8Qdq"]

_SHIFT = 128
_UINT8 = ir.DataType.UINT8


@dataclass(frozen=True)
class RewriteUint8Qdq(Pass):
    """Turn uint8 QuantizeLinear and DequantizeLinear into int8.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x) => (float[4] y)
        <float s = {0.5}, uint8 z = {128}>
        {
            q = QuantizeLinear(x, s, z)
            y = DequantizeLinear(q, s, z)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x) => (float[4] y)
        <float s = {0.5}, int8 z_int8 = {0}>
        {
            q = QuantizeLinear(x, s, z_int8)
            y = DequantizeLinear(q, s, z_int8)
        }
    """

    name: ClassVar[str] = "rewrite-uint8-qdq"
    after: ClassVar[tuple[str, ...]] = ("bind-shapes", "convert-opset", "infer-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Rewrite every group of connected values that allows it; linear in nodes."""
        del context
        rewriter = _Rewriter(model)
        seen: set[ir.Value] = set()
        rewritten, refusals = 0, []
        for value in _values(model):
            if value in seen or not _quantized_to_uint8(value):
                continue
            group = QuantizedGroup()
            group.grow(value)
            seen |= group.values.keys()
            if group.refusal is None:
                rewriter.rewrite(group)
                rewritten += len(group.values)
            else:
                refusals.append(group.refusal)
        rewriter.drop_unused()
        return PassResult(rewritten > 0, {"rewritten_values": rewritten}, tuple(refusals))


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in (model.graph, *nested_graphs(model.graph)):
        yield from list(graph.initializers.values())
        for node in graph:
            yield from node.outputs


def _quantized_to_uint8(value: ir.Value) -> bool:
    """Return whether Q or DQ says that ``value`` is uint8, its dtype being known or not."""
    if value.dtype not in (None, ir.DataType.UINT8):
        return False
    producer = value.producer()
    if producer is not None and is_operator(producer, "QuantizeLinear"):
        return value.dtype is not None or _quantizes_to_uint8(producer)
    readers = [
        user for user, index in value.uses() if index == 0 and is_operator(user, "DequantizeLinear")
    ]
    return any(value.dtype is not None or _zero_dtype(user) == _UINT8 for user in readers)


def _quantizes_to_uint8(node: ir.Node) -> bool:
    stated = node.attributes.get_int("output_dtype", 0)
    return _zero_dtype(node) == _UINT8 or (
        zero_point_of(node) is None and stated in (0, int(_UINT8))
    )


def _zero_dtype(node: ir.Node) -> ir.DataType | None:
    zero_point = zero_point_of(node)
    return None if zero_point is None else zero_point.dtype


class _Rewriter:
    """Rewrites groups; each constant is shifted once."""

    def __init__(self, model: ir.Model) -> None:
        self._names = NameAllocator(model)
        self._shifted: dict[ir.Value, ir.Value] = {}
        self._zeros: dict[tuple[ir.Graph, tuple[int, ...]], ir.Value] = {}

    def rewrite(self, group: QuantizedGroup) -> None:
        """Make the group int8."""
        for value in list(group.values):
            if constant_tensor(value) is not None:
                shifted = self._shift(value)
                for user, index in value.uses():
                    user.replace_input_with(index, shifted)
            elif value.dtype is not None:
                value.type = ir.TensorType(ir.DataType.INT8)
        for node in group.quantizers:
            self._shift_zero_point(node)

    def _shift_zero_point(self, node: ir.Node) -> None:
        zero_point = zero_point_of(node)
        if zero_point is None:
            node.resize_inputs(3)
            node.replace_input_with(2, self._default(node))
        elif zero_point.dtype != ir.DataType.INT8:
            node.replace_input_with(2, self._shift(zero_point))
        if "output_dtype" in node.attributes and is_operator(node, "QuantizeLinear"):
            node.attributes["output_dtype"] = ir.AttrInt64("output_dtype", int(ir.DataType.INT8))

    def _default(self, node: ir.Node) -> ir.Value:
        """Return the zero point -128, which stands for uint8's default 0, in the scale's shape."""
        graph, scale = node.graph, node.inputs[1]
        assert isinstance(graph, ir.Graph)
        assert scale is not None
        tensor = constant_tensor(scale)
        shape = () if tensor is None else tuple(tensor.shape.numpy())
        if (graph, shape) not in self._zeros:
            array = np.full(shape, -_SHIFT, np.int8)
            self._zeros[graph, shape] = add_initializer(
                graph, self._names, "zero_point_int8", array
            )
        return self._zeros[graph, shape]

    def _shift(self, value: ir.Value) -> ir.Value:
        if value not in self._shifted:
            tensor, graph = constant_tensor(value), value.graph
            assert tensor is not None
            assert isinstance(graph, ir.Graph)
            array = (tensor.numpy().astype(np.int16) - _SHIFT).astype(np.int8)
            self._shifted[value] = add_initializer(graph, self._names, f"{value.name}_int8", array)
        return self._shifted[value]

    def drop_unused(self) -> None:
        """Remove uint8 constants that nothing reads any more."""
        drop_unread(self._shifted)
