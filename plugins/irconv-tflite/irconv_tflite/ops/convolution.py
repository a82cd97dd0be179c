"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.registry import NHWC, emits
from irconv_tflite.ops.window import (
    Window,
    channels_first,
    channels_last,
    pad_spatial,
    window_of,
)

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["convolve", "lift", "lower_plane", "split_channels", "split_first"]

_PLANE = 2
_VOLUME = 3


@emits("Conv", domain=NHWC)
@emits("Conv")
def convolution(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Conv: CONV_2D, DEPTHWISE_CONV_2D or CONV_3D; one dimension as a plane of height 1."""
    kind = compute_dtype(graph.dtype(node.inputs[0]), FLOAT)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    weights = graph.read(node.inputs[1], kind)
    bias_value = given(node, 2)
    bias = None if bias_value is None else graph.read(bias_value, kind)
    assert x.shape is not None
    kernel = graph.static_shape(node.inputs[1])[2:]
    window = window_of(node, kernel, x.shape[1:-1])
    group = int_attribute(node, "group", 1)
    result = convolve(graph, x, weights, bias, window, group)
    graph.write(node.outputs[0], channels_first(graph, node, result))


def convolve(
    graph: GraphWriter,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    window: Window,
    group: int,
) -> Tensor:
    """Return the convolution of a channel-last tensor by weights in ONNX's order (OI...)."""
    assert x.shape is not None
    assert weights.shape is not None
    if len(window.kernel) == 1:
        plane = lift(graph, x)
        wide = graph.reshape(weights, [*_known(weights.shape[:2]), 1, *window.kernel])
        result = convolve(graph, plane, wide, bias, window.prepended(), group)
        return lower_plane(graph, result)
    sizes = window.output(x.shape[1:-1])
    shape: Shape = (x.shape[0], *sizes, weights.shape[0])
    x, window, padding = pad_spatial(graph, x, window)
    if len(window.kernel) == _VOLUME:
        return _volume(graph, x, weights, bias, window, group, padding, shape)
    if len(window.kernel) != _PLANE:
        raise RefusalError(
            "RANK_LIMIT",
            f"TFLite convolves over at most 3 dimensions, and this has {len(window.kernel)}",
            "split the convolution",
        )
    return _plane(graph, x, weights, bias, window, group, padding, shape)


def _plane(
    graph: GraphWriter,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    window: Window,
    group: int,
    padding: str,
    shape: Shape,
) -> Tensor:
    assert x.shape is not None
    options: dict[str, Any] = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": "NONE",
    }
    outputs, channels = shape[-1] or 0, x.shape[-1]
    if bias is None:
        bias = graph.constant(np.zeros(outputs, np.float32))
    if group > 1 and group == channels:
        filters = graph.reshape(
            graph.transpose(weights, [1, 2, 3, 0]), [1, *window.kernel, outputs]
        )
        return graph.op(
            "DEPTHWISE_CONV_2D",
            [x, filters, bias],
            shape,
            depthMultiplier=outputs // group,
            **options,
        )
    filters = graph.transpose(weights, [0, 2, 3, 1])
    return graph.op("CONV_2D", [x, filters, bias], shape, **options)


def _volume(
    graph: GraphWriter,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    window: Window,
    group: int,
    padding: str,
    shape: Shape,
) -> Tensor:
    options: dict[str, Any] = {
        "padding": padding,
        "strideD": window.strides[0],
        "strideH": window.strides[1],
        "strideW": window.strides[2],
        "dilationDFactor": window.dilations[0],
        "dilationHFactor": window.dilations[1],
        "dilationWFactor": window.dilations[2],
        "fusedActivationFunction": "NONE",
    }
    if bias is None:
        bias = graph.constant(np.zeros(shape[-1] or 0, np.float32))
    if group == 1:
        filters = graph.transpose(weights, [2, 3, 4, 1, 0])
        return graph.op("CONV_3D", [x, filters, bias], shape, **options)
    parts = []
    for x_part, w_part, b_part in zip(
        split_channels(graph, x, group),
        split_first(graph, weights, group),
        split_first(graph, bias, group),
        strict=True,
    ):
        filters = graph.transpose(w_part, [2, 3, 4, 1, 0])
        part_shape = (*shape[:-1], (shape[-1] or 0) // group)
        parts.append(graph.op("CONV_3D", [x_part, filters, b_part], part_shape, **options))
    return graph.op("CONCATENATION", parts, shape, axis=len(shape) - 1)


def split_channels(graph: GraphWriter, x: Tensor, group: int) -> list[Tensor]:
    """Return the channels of a channel-last tensor in equal groups."""
    assert x.shape is not None
    axis = len(x.shape) - 1
    part = (*x.shape[:-1], (x.shape[-1] or 0) // group)
    return graph.ops(
        "SPLIT", [graph.constant(np.int32(axis)), x], [(x.dtype, part)] * group, numSplits=group
    )


def split_first(graph: GraphWriter, tensor: Tensor, group: int) -> list[Tensor]:
    """Return equal parts of a tensor along its first dimension."""
    sizes = _known(tensor.shape or ())
    part = (sizes[0] // group, *sizes[1:])
    if tensor.constant is None:
        axis = graph.constant(np.int32(0))
        return graph.ops("SPLIT", [axis, tensor], [(tensor.dtype, part)] * group, numSplits=group)
    return [
        graph.derived(tensor, _rows(index * part[0], (index + 1) * part[0]), part)
        for index in range(group)
    ]


def _rows(start: int, stop: int) -> Callable[[Array], Array]:
    return lambda array: array[start:stop]


def _known(shape: Shape) -> list[int]:
    return [dim or 0 for dim in shape]


def lift(graph: GraphWriter, x: Tensor) -> Tensor:
    """Return [N, W, C] as a plane [N, 1, W, C]."""
    assert x.shape is not None
    shape = (x.shape[0], 1, *x.shape[1:])
    return graph.op("EXPAND_DIMS", [x, graph.constant(np.int32(1))], shape)


def lower_plane(graph: GraphWriter, x: Tensor) -> Tensor:
    """Return a plane [N, 1, W, C] as [N, W, C]."""
    assert x.shape is not None
    return graph.op("SQUEEZE", [x], (x.shape[0], *x.shape[2:]), squeezeDims=[1])
