"""uint8 in place of int8 around Concat, number for number.

OpenVINO 2026.4 computes a Concat before a convolution in uint8 even where its inputs are int8,
so negative numbers are lost. With q8 = q + 128 and z8 = z + 128, where q is an int8 number and z
its zero point::

    QuantizeLinear    saturate(round(x / s) + z, -128, 127) + 128 = saturate(round(x / s) + z8, 0, 255)
    DequantizeLinear  (q - z) * s = (q8 - z8) * s

Both sides are equal in integer arithmetic, so nothing is rounded anew.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv_openvino.passes.quantization import is_operator, quantized_sources, zero_point_of

__all__ = ["RewriteInt8Concat"]

_SHIFT = 128


@dataclass(frozen=True)
class RewriteInt8Concat(Pass):
    """Turn the int8 quantization of what a Concat reads, and of its result, into uint8.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 4] x) => (float[4, 4] y)
        <float s = {0.5}, int8 z = {0}>
        {
            q = QuantizeLinear(x, s, z)
            d = DequantizeLinear(q, s, z)
            c = Concat <axis = 0> (d, d)
            r = QuantizeLinear(c, s, z)
            y = DequantizeLinear(r, s, z)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 4] x) => (float[4, 4] y)
        <float s = {0.5}, uint8 z_uint8 = {128}>
        {
            q = QuantizeLinear(x, s, z_uint8)
            d = DequantizeLinear(q, s, z_uint8)
            c = Concat <axis = 0> (d, d)
            r = QuantizeLinear(c, s, z_uint8)
            y = DequantizeLinear(r, s, z_uint8)
        }
    """

    name: ClassVar[str] = "rewrite-int8-concat"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Rewrite what is quantized around every Concat; linear in nodes and their Concats."""
        del context
        shifted = _ShiftedZeroPoints(model)
        quantized: dict[ir.Value, None] = {}
        for node in all_nodes(model):
            if is_operator(node, "Concat"):
                quantized.update(dict.fromkeys(_around(node)))
        rewritten, refusals = 0, []
        for value in quantized:
            reason = _obstacle(value)
            if reason:
                producer = value.producer()
                assert producer is not None
                refusals.append(Refusal(producer.name or "", producer.op_type, reason))
                continue
            _rewrite(value, shifted)
            rewritten += 1
        shifted.drop_unread()
        return PassResult(rewritten > 0, {"rewritten_values": rewritten}, tuple(refusals))


def _around(concat: ir.Node) -> Iterator[ir.Value]:
    """Yield the int8 values whose dequantization ``concat`` reads, and that of its result."""
    result = concat.outputs[0]
    for node in quantized_sources(result):
        yield from _int8(node.inputs[0])
    for user, index in result.uses():
        if index == 0 and is_operator(user, "QuantizeLinear"):
            yield from _int8(user.outputs[0])


def _int8(value: ir.Value | None) -> Iterator[ir.Value]:
    if value is None:
        return
    producer = value.producer()
    if not is_operator(producer, "QuantizeLinear"):
        return
    assert producer is not None
    zero_point = zero_point_of(producer)
    if zero_point is not None and zero_point.dtype == ir.DataType.INT8:
        yield value


def _obstacle(value: ir.Value) -> str:
    """Return why the int8 ``value`` cannot become uint8, or the empty string."""
    if value.is_graph_output():
        return f"{value.name!r} is an output of a graph"
    nodes = [value.producer()]
    for user, index in value.uses():
        if index != 0 or not is_operator(user, "DequantizeLinear"):
            return f"{value.name!r} is used as a number of its own"
        nodes.append(user)
    for node in nodes:
        assert node is not None
        if constant_tensor(zero_point_of(node)) is None:
            return f"the zero point of {value.name!r} is left out or computed"
    return ""


def _rewrite(value: ir.Value, shifted: _ShiftedZeroPoints) -> None:
    producer = value.producer()
    assert producer is not None
    for node in (producer, *(user for user, _ in value.uses())):
        zero_point = zero_point_of(node)
        assert zero_point is not None
        node.replace_input_with(2, shifted.of(zero_point))
    if "output_dtype" in producer.attributes:
        uint8 = ir.AttrInt64("output_dtype", int(ir.DataType.UINT8))
        producer.attributes["output_dtype"] = uint8
    if value.type is not None:
        value.type = ir.TensorType(ir.DataType.UINT8)


class _ShiftedZeroPoints:
    """The uint8 zero points of int8 ones, each made once."""

    def __init__(self, model: ir.Model) -> None:
        self._names = NameAllocator(model)
        self._shifted: dict[ir.Value, ir.Value] = {}

    def of(self, zero_point: ir.Value) -> ir.Value:
        if zero_point not in self._shifted:
            tensor, graph = constant_tensor(zero_point), zero_point.graph
            assert tensor is not None
            assert isinstance(graph, ir.Graph)
            array = (tensor.numpy().astype(np.int16) + _SHIFT).astype(np.uint8)
            name = self._names.fresh(f"{zero_point.name}_uint8")
            data = ir.Tensor(array, name=name)
            value = ir.Value(
                name=name, shape=data.shape, type=ir.TensorType(data.dtype), const_value=data
            )
            graph.register_initializer(value)
            self._shifted[zero_point] = value
        return self._shifted[zero_point]

    def drop_unread(self) -> None:
        """Remove the int8 initializers that nothing reads any more."""
        for value in self._shifted:
            if value.is_initializer() and not value.uses() and not value.is_graph_output():
                assert isinstance(value.graph, ir.Graph)
                del value.graph.initializers[value.name or ""]
