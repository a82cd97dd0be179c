"""Softmax and normalizations, by composition where LiteRT has no kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import float_attribute, given, int_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.reduction import reduce_over
from irconv_tflite.ops.registry import NHWC, emits

__all__: list[str] = []

_EPSILON = 1e-5


def _float(graph: GraphWriter, value: ir.Value | None) -> Tensor:
    return graph.read(value, compute_dtype(graph.dtype(value), FLOAT))


@emits("Softmax", "LogSoftmax")
def softmax(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Softmax, LogSoftmax: SOFTMAX, LOG_SOFTMAX, which go along the last axis."""
    x = _float(graph, node.inputs[0])
    rank = graph.rank(node.inputs[0])
    axis = int_attribute(node, "axis", -1) % rank
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    x = graph.transpose(x, order)
    if node.op_type == "Softmax":
        x = graph.op("SOFTMAX", [x], x.shape, beta=1.0)
    else:
        x = graph.op("LOG_SOFTMAX", [x], x.shape)
    graph.write(node.outputs[0], graph.transpose(x, order))


def _standardized(
    graph: GraphWriter, x: Tensor, axes: Sequence[int], epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (x - mean) / sqrt(variance + epsilon), the mean, and 1 / the root."""
    centre = reduce_over(graph, "MEAN", x, axes, keep=True)
    squares = binary(graph, "SQUARED_DIFFERENCE", x, centre)
    variance = reduce_over(graph, "MEAN", squares, axes, keep=True)
    shifted = binary(graph, "ADD", variance, graph.constant(np.float32(epsilon)))
    scale = graph.op("RSQRT", [shifted], shifted.shape)
    return binary(graph, "MUL", binary(graph, "SUB", x, centre), scale), centre, scale


@emits("LayerNormalization")
def layer_normalization(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX LayerNormalization: MEAN, SQUARED_DIFFERENCE, RSQRT and products."""
    x = _float(graph, node.inputs[0])
    rank = graph.rank(node.inputs[0])
    axes = range(int_attribute(node, "axis", -1) % rank, rank)
    y, centre, scale = _standardized(graph, x, axes, float_attribute(node, "epsilon", _EPSILON))
    y = binary(graph, "MUL", y, _float(graph, node.inputs[1]))
    bias = given(node, 2)
    if bias is not None:
        y = binary(graph, "ADD", y, _float(graph, bias))
    results = [y, centre, scale]
    for value, tensor in zip(node.outputs, results, strict=False):
        if value.name:
            graph.write(value, tensor)


@emits("InstanceNormalization", domain=NHWC)
@emits("InstanceNormalization")
def instance_normalization(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX InstanceNormalization: as LayerNormalization, over the spatial axes."""
    x = _float(graph, node.inputs[0])
    rank = graph.rank(node.inputs[0])
    axes = range(1, rank - 1) if node.domain == NHWC else range(2, rank)
    y, _, _ = _standardized(graph, x, axes, float_attribute(node, "epsilon", _EPSILON))
    scale, bias = (_per_channel(graph, node, value, rank) for value in node.inputs[1:3])
    graph.write(node.outputs[0], binary(graph, "ADD", binary(graph, "MUL", y, scale), bias))


def _per_channel(graph: GraphWriter, node: ir.Node, value: ir.Value | None, rank: int) -> Tensor:
    """Return a vector of one number a channel, ready to be broadcast to the node's layout."""
    vector = _float(graph, value)
    return vector if node.domain == NHWC else graph.reshape(vector, [-1, *[1] * (rank - 2)])


@emits("BatchNormalization", domain=NHWC)
@emits("BatchNormalization")
def batch_normalization(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX BatchNormalization for inference: (x - mean) * scale / sqrt(var + epsilon) + bias."""
    if int_attribute(node, "training_mode", 0):
        _train(graph, node)
        return
    x = _float(graph, node.inputs[0])
    rank = graph.rank(node.inputs[0])
    scale, bias, centre, variance = (
        _per_channel(graph, node, value, rank) for value in node.inputs[1:5]
    )
    epsilon = float_attribute(node, "epsilon", _EPSILON)
    graph.write(node.outputs[0], _affine(graph, x, (scale, bias, centre, variance), epsilon))


def _affine(
    graph: GraphWriter, x: Tensor, parameters: tuple[Tensor, Tensor, Tensor, Tensor], epsilon: float
) -> Tensor:
    scale, bias, centre, variance = parameters
    shifted = binary(graph, "ADD", variance, graph.constant(np.float32(epsilon)))
    factor = binary(graph, "MUL", scale, graph.op("RSQRT", [shifted], shifted.shape))
    y = binary(graph, "MUL", binary(graph, "SUB", x, centre), factor)
    return binary(graph, "ADD", y, bias)


def _train(graph: GraphWriter, node: ir.Node) -> None:
    """The batch's own statistics, and running ones that move towards them by the momentum."""
    x = _float(graph, node.inputs[0])
    rank = graph.rank(node.inputs[0])
    axes = [axis for axis in range(rank) if axis != 1]
    momentum = np.float32(float_attribute(node, "momentum", 0.9))
    centre = reduce_over(graph, "MEAN", x, axes, keep=True)
    squares = binary(graph, "SQUARED_DIFFERENCE", x, centre)
    variance = reduce_over(graph, "MEAN", squares, axes, keep=True)
    scale, bias = (_per_channel(graph, node, value, rank) for value in node.inputs[1:3])
    epsilon = float_attribute(node, "epsilon", _EPSILON)
    graph.write(node.outputs[0], _affine(graph, x, (scale, bias, centre, variance), epsilon))
    for value, old, new in zip(
        node.outputs[1:], node.inputs[3:5], (centre, variance), strict=False
    ):
        kept = binary(graph, "MUL", _float(graph, old), graph.constant(momentum))
        flat = graph.op("RESHAPE", [new, graph.constant(np.array([-1], np.int32))], kept.shape)
        moved = binary(graph, "MUL", flat, graph.constant(np.float32(1) - momentum))
        graph.write(value, binary(graph, "ADD", kept, moved))
