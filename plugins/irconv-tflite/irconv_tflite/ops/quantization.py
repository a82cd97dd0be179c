"""Quantization as ONNX writes it: QuantizeLinear and DequantizeLinear around operators.

Integers of 8 bits become int8, uint8 shifted by 128, since that is what LiteRT's kernels take.
What is between two such operators is first emitted in float32; where a kernel for integers gives
the same within half a step, :mod:`irconv_tflite.emit.integer` takes it afterwards.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Constant, Quantization, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute
from irconv_tflite.ops.registry import emits

__all__: list[str] = []

_OFFSETS = {"int8": 0, "uint8": 128, "int16": 0}
_WIDE = "int32"


@emits("QuantizeLinear")
def quantize(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX QuantizeLinear of an activation that is dequantized again: QUANTIZE."""
    value = node.outputs[0]
    dtype = graph.dtype(value)
    parameters = _parameters(graph, node, dtype)
    readers = [reader for reader, _ in value.uses()]
    if value.is_graph_output() or any(reader.op_type != "DequantizeLinear" for reader in readers):
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "LiteRT rounds halves away from zero, so its integers are not given out",
            "follow QuantizeLinear by DequantizeLinear",
        )
    if len(parameters.scales) > 1:
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "TFLite quantizes activations with one scale",
            "quantize activations per tensor",
        )
    x = graph.read(node.inputs[0])
    if x.dtype != "float32":
        raise RefusalError(
            "UNSUPPORTED_DTYPE", f"LiteRT quantizes float32, not {x.dtype}", "use float32 scales"
        )
    stored = "int8" if dtype == "uint8" else dtype
    result = graph.op("QUANTIZE", [x], x.shape, stored)
    result.quantization = parameters
    graph.bind(value, result)


@emits("DequantizeLinear")
def dequantize(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX DequantizeLinear: DEQUANTIZE of an activation; of a constant, a float32 constant."""
    value = node.inputs[0]
    dtype = graph.dtype(value)
    if graph.dtype(node.outputs[0]) != "float32":
        raise RefusalError(
            "UNSUPPORTED_DTYPE", "LiteRT dequantizes to float32", "use float32 scales"
        )
    constant = graph.array(value)
    if constant is not None:
        graph.bind(node.outputs[0], _unpacked(graph, node, dtype))
        return
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != "QuantizeLinear":
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "the integers come from no QuantizeLinear",
            "give float32 inputs, followed by QuantizeLinear and DequantizeLinear",
        )
    if _parameters(graph, producer, dtype) != _parameters(graph, node, dtype):
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "it has another scale or zero point than the QuantizeLinear before it",
            "use one scale and zero point for both",
        )
    source = graph.read(value)
    graph.bind(node.outputs[0], graph.op("DEQUANTIZE", [source], source.shape, "float32"))


def _parameters(graph: GraphWriter, node: ir.Node, dtype: str) -> Quantization:
    """Return scales and zero points, as they are for the stored dtype."""
    if dtype not in (*_OFFSETS, _WIDE):
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"TFLite's quantized kernels do not take {dtype}",
            "quantize to int8, uint8 or int16",
        )
    if int_attribute(node, "block_size", 0):
        raise RefusalError(
            "UNSUPPORTED_FORM", "TFLite does not quantize in blocks", "quantize per channel"
        )
    scale = graph.array(node.inputs[1])
    zero_value = given(node, 2)
    zero = np.zeros(1, np.int64) if zero_value is None else graph.array(zero_value)
    if scale is None or zero is None or graph.dtype(node.inputs[1]) != "float32":
        raise RefusalError(
            "NOT_CONSTANT",
            "TFLite needs scales and zero points as float32 constants",
            "quantize the model statically",
        )
    scales = scale.reshape(-1)
    zeros = np.broadcast_to(zero.reshape(-1).astype(np.int64), scales.shape)
    offset = _OFFSETS.get(dtype, 0)
    rank = max(graph.rank(node.inputs[0]), 1)
    axis = int_attribute(node, "axis", 1) % rank if len(scales) > 1 else 0
    return Quantization(
        tuple(float(item) for item in scales), tuple(int(item) - offset for item in zeros), axis
    )


def _unpacked(graph: GraphWriter, node: ir.Node, dtype: str) -> Tensor:
    """Return a constant as float32, with its integers kept beside it."""
    parameters = _parameters(graph, node, dtype)
    packed = graph.read(node.inputs[0])
    constant = packed.constant
    assert constant is not None
    sizes = tuple(dim or 0 for dim in packed.shape or ())
    spread = [1] * len(sizes)
    if len(parameters.scales) > 1:
        spread[parameters.axis] = -1
    offset = _OFFSETS.get(dtype, 0)
    stored = "int8" if dtype == "uint8" else dtype
    integers = Constant(
        lambda: (constant.load().astype(np.int64) - offset).astype(stored), constant.nbytes
    )
    scales = np.array(parameters.scales, np.float32).reshape(spread)
    zeros = np.array(parameters.zero_points, np.int64).reshape(spread)
    unpacked = graph.deferred(
        lambda: ((integers.load().astype(np.int64) - zeros).astype(np.float32) * scales).astype(
            np.float32
        ),
        "float32",
        sizes,
        packed.name,
    )
    twin = Tensor(stored, sizes, graph.names.fresh(packed.name), integers, parameters)
    graph.keep_integers(unpacked, twin)
    return unpacked
