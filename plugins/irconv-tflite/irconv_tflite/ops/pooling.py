"""Pools."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import reduce

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute, ints_attribute, text_attribute
from irconv_tflite.ops.convolution import lift, lower_plane
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.reduction import reduce_over
from irconv_tflite.ops.registry import NHWC, emits
from irconv_tflite.ops.shapes import shape_of
from irconv_tflite.ops.window import (
    Window,
    channels_first,
    channels_last,
    pad_spatial,
    window_of,
)

__all__: list[str] = []

_EXACT_IN_FLOAT = ("int8", "uint8")
_PLANE = 2


@emits("MaxPool", domain=NHWC)
@emits("MaxPool")
def max_pool(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX MaxPool: MAX_POOL_2D; other ranks, and dilations, by the maximum of shifted slices."""
    if len(node.outputs) > 1 and node.outputs[1].name and _is_used(node.outputs[1]):
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "TFLite's MAX_POOL_2D gives no indices",
            "leave the second output of MaxPool unused",
        )
    dtype = graph.dtype(node.inputs[0])
    kind = "float32" if dtype in _EXACT_IN_FLOAT else compute_dtype(dtype, FLOAT)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    window = _window(node, x)
    if len(window.kernel) > _PLANE or any(gap > 1 for gap in window.dilations):
        result = _maximum_of_slices(graph, x, window)
    else:
        result = _flat(graph, x, window, "MAX_POOL_2D", -np.inf)
    graph.write(node.outputs[0], channels_first(graph, node, result))


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _window(node: ir.Node, x: Tensor) -> Window:
    assert x.shape is not None
    kernel = ints_attribute(node, "kernel_shape")
    if kernel is None:
        raise RefusalError("UNSUPPORTED_FORM", "kernel_shape is left out", "export the model anew")
    return window_of(node, kernel, x.shape[1:-1])


def _flat(graph: GraphWriter, x: Tensor, window: Window, code: str, fill: float | None) -> Tensor:
    """Pool over one or two dimensions."""
    if len(window.kernel) == 1:
        plane = _flat(graph, lift(graph, x), window.prepended(), code, fill)
        return lower_plane(graph, plane)
    assert x.shape is not None
    shape: Shape = (x.shape[0], *window.output(x.shape[1:-1]), x.shape[-1])
    x, window, padding = pad_spatial(graph, x, window, fill)
    return graph.op(
        code,
        [x],
        shape,
        padding=padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        filterHeight=window.kernel[0],
        filterWidth=window.kernel[1],
        fusedActivationFunction="NONE",
    )


def _slices(graph: GraphWriter, x: Tensor, window: Window) -> list[Tensor]:
    """Return one tensor for each element of the window: what it sees at every step."""
    assert x.shape is not None
    sizes = window.output(x.shape[1:-1])
    if None in sizes:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "a pool over three dimensions, or with dilations, needs known sizes",
            "bind the spatial dimensions with --shape",
        )
    shape: Shape = (x.shape[0], *sizes, x.shape[-1])
    known = [size or 0 for size in sizes]
    results = []
    for place in itertools.product(*map(range, window.kernel)):
        start = [index * gap for index, gap in zip(place, window.dilations, strict=True)]
        stop = [
            first + (size - 1) * step + 1
            for first, size, step in zip(start, known, window.strides, strict=True)
        ]
        bounds = [graph.constant(np.array([0, *middle, 0], np.int32)) for middle in (start, stop)]
        strides = graph.constant(np.array([1, *window.strides, 1], np.int32))
        ends = 1 | 1 << (len(shape) - 1)
        results.append(
            graph.op(
                "STRIDED_SLICE",
                [x, *bounds, strides],
                shape,
                beginMask=ends,
                endMask=ends,
                ellipsisMask=0,
                newAxisMask=0,
                shrinkAxisMask=0,
            )
        )
    return results


def _maximum_of_slices(graph: GraphWriter, x: Tensor, window: Window) -> Tensor:
    x, window, _ = pad_spatial(graph, x, _explicit(window, x), -np.inf)
    return reduce(lambda a, b: binary(graph, "MAXIMUM", a, b), _slices(graph, x, window))


def _explicit(window: Window, x: Tensor) -> Window:
    assert x.shape is not None
    if window.same and None in x.shape[1:-1]:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "this pool needs known sizes for its padding",
            "bind the spatial dimensions with --shape",
        )
    return replace(window, same=False)


@emits("AveragePool", domain=NHWC)
@emits("AveragePool")
def average_pool(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX AveragePool: AVERAGE_POOL_2D, corrected where ONNX divides by another count.

    TFLite divides by the elements inside the tensor where it pads itself (SAME), and by the
    whole window elsewhere.
    """
    kind = compute_dtype(graph.dtype(node.inputs[0]), FLOAT)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    window = _window(node, x)
    counts_padding = bool(int_attribute(node, "count_include_pad", 0))
    assert x.shape is not None
    plain = len(window.kernel) <= _PLANE and all(gap == 1 for gap in window.dilations)
    if plain and (not window.is_padded or (window.same and not counts_padding)):
        result = _flat(graph, x, window, "AVERAGE_POOL_2D", None)
    else:
        result = _corrected(graph, node, x, window, counts_padding=counts_padding, plain=plain)
    graph.write(node.outputs[0], channels_first(graph, node, result))


def _corrected(
    graph: GraphWriter,
    node: ir.Node,
    x: Tensor,
    window: Window,
    *,
    counts_padding: bool,
    plain: bool,
) -> Tensor:
    assert x.shape is not None
    if plain and not counts_padding and None in x.shape[1:-1]:
        return _by_counted(graph, x, replace(window, same=False))
    explicit = _explicit(window, x)
    factor = _count_factor(node, explicit, x.shape[1:-1], counts_padding=counts_padding)
    if plain:
        result = _flat(graph, x, explicit, "AVERAGE_POOL_2D", None)
    else:
        padded, rest, _ = pad_spatial(graph, x, explicit)
        total = reduce(lambda a, b: binary(graph, "ADD", a, b), _slices(graph, padded, rest))
        share = graph.constant(np.float32(1 / np.prod(window.kernel)))
        result = binary(graph, "MUL", total, share)
    if factor is None:
        return result
    return binary(graph, "MUL", result, graph.constant(factor[..., None]))


def _by_counted(graph: GraphWriter, x: Tensor, window: Window) -> Tensor:
    """Divide by the average of ones, which is what of each window lies inside the tensor."""
    assert x.shape is not None
    rank = len(x.shape)
    inside = [0, *[1] * (rank - 2), 0]
    sizes = binary(graph, "MUL", shape_of(graph, x), graph.constant(np.array(inside, np.int32)))
    outside = graph.constant(np.array([1 - item for item in inside], np.int32))
    sizes = binary(graph, "ADD", sizes, outside)
    shape = (1, *x.shape[1:-1], 1)
    ones = graph.op("FILL", [sizes, graph.constant(np.float32(1))], shape, "float32")
    total, share = (_flat(graph, tensor, window, "AVERAGE_POOL_2D", None) for tensor in (x, ones))
    return binary(graph, "DIV", total, share)


def _count_factor(
    node: ir.Node, window: Window, sizes: Shape, *, counts_padding: bool
) -> np.ndarray | None:
    """Return window size by counted elements at every step; None where it is 1 throughout."""
    pads = ints_attribute(node, "pads") or [0] * (2 * len(window.kernel))
    automatic = text_attribute(node, "auto_pad", "NOTSET") != "NOTSET"
    rank = len(window.kernel)
    if None in sizes:
        if counts_padding and not int_attribute(node, "ceil_mode", 0):
            return None
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "an average that leaves padding out needs known sizes",
            "bind the spatial dimensions with --shape",
        )
    factor = np.ones((), np.float32)
    for axis in range(rank):
        first, last = window.before[axis], window.after[axis]
        size = sizes[axis] or 0
        counted = np.zeros(first + size + last, np.float32)
        stop = first + size
        if counts_padding:
            first, stop = 0, stop + (last if automatic else pads[rank + axis])
        counted[first:stop] = 1
        steps = window.output(sizes)[axis] or 0
        inside = [
            counted[step * window.strides[axis] :][: window.extent[axis]][
                :: window.dilations[axis]
            ].sum()
            for step in range(steps)
        ]
        ratio = window.kernel[axis] / np.maximum(np.array(inside, np.float32), 1)
        factor = factor[..., None] * ratio.astype(np.float32)
    return None if (factor == 1).all() else factor.astype(np.float32)


@emits("GlobalAveragePool", domain=NHWC)
@emits("GlobalAveragePool")
@emits("GlobalMaxPool", domain=NHWC)
@emits("GlobalMaxPool")
def global_pool(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX GlobalAveragePool, GlobalMaxPool: MEAN, REDUCE_MAX over the spatial dimensions."""
    x = graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), FLOAT))
    rank = graph.rank(node.inputs[0])
    axes = range(1, rank - 1) if node.domain == NHWC else range(2, rank)
    code = "MEAN" if node.op_type == "GlobalAveragePool" else "REDUCE_MAX"
    graph.write(node.outputs[0], reduce_over(graph, code, x, axes, keep=True))
