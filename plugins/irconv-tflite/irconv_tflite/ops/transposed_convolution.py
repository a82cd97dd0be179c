"""Transposed convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute, ints_attribute, text_attribute
from irconv_tflite.ops.convolution import lift, lower_plane, split_channels, split_first
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.registry import NHWC, emits
from irconv_tflite.ops.shapes import shape_of
from irconv_tflite.ops.window import channels_first, channels_last

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__: list[str] = []

_PLANE = 2
_VOLUME = 3


@dataclass(frozen=True)
class _Spread:
    """The geometry of a transposed convolution.

    Attributes:
        kernel: Sizes of the kernel without the gaps of its dilation.
        strides: Distances of the inputs in the output.
        dilations: Distances of the kernel's elements.
        before: What is cut off before.
        after: What is cut off after; negative where zeros are added.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        return tuple(
            (size - 1) * gap + 1 for size, gap in zip(self.kernel, self.dilations, strict=True)
        )


@emits("ConvTranspose", domain=NHWC)
@emits("ConvTranspose")
def transposed_convolution(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ConvTranspose: TRANSPOSE_CONV or CONV_3D_TRANSPOSE without padding, then SLICE.

    A dilated kernel is written out with zeros in its gaps.
    """
    kind = compute_dtype(graph.dtype(node.inputs[0]), FLOAT)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    assert x.shape is not None
    spread = _spread_of(node, graph.static_shape(node.inputs[1])[2:], x.shape[1:-1])
    weights = _dilated(graph, graph.read(node.inputs[1], kind), spread)
    if len(spread.kernel) == 1:
        x = lift(graph, x)
        sizes = [dim or 0 for dim in weights.shape or ()]
        weights = graph.reshape(weights, [*sizes[:2], 1, sizes[2]])
        spread = _Spread(
            (1, *spread.kernel),
            (1, *spread.strides),
            (1, *spread.dilations),
            (0, *spread.before),
            (0, *spread.after),
        )
    group = int_attribute(node, "group", 1)
    parts = [
        _spread_out(graph, x_part, w_part, spread)
        for x_part, w_part in zip(
            split_channels(graph, x, group) if group > 1 else [x],
            split_first(graph, weights, group) if group > 1 else [weights],
            strict=True,
        )
    ]
    y = parts[0]
    if group > 1:
        assert y.shape is not None
        shape = (*y.shape[:-1], (y.shape[-1] or 0) * group)
        y = graph.op("CONCATENATION", parts, shape, axis=len(shape) - 1)
    y = _cut(graph, y, spread)
    if graph.rank(node.inputs[0]) == _PLANE + 1:
        y = lower_plane(graph, y)
    bias = given(node, 2)
    if bias is not None:
        y = binary(graph, "ADD", y, graph.read(bias, kind))
    graph.write(node.outputs[0], channels_first(graph, node, y))


def _spread_of(node: ir.Node, kernel: tuple[int, ...], sizes: Shape) -> _Spread:
    rank = len(kernel)
    if rank > _VOLUME:
        raise RefusalError(
            "RANK_LIMIT", "TFLite convolves over at most 3 dimensions", "split the convolution"
        )
    strides = tuple(ints_attribute(node, "strides") or [1] * rank)
    dilations = tuple(ints_attribute(node, "dilations") or [1] * rank)
    extra = ints_attribute(node, "output_padding") or [0] * rank
    extent = [(size - 1) * gap + 1 for size, gap in zip(kernel, dilations, strict=True)]
    mode = text_attribute(node, "auto_pad", "NOTSET")
    wanted = ints_attribute(node, "output_shape")
    if mode in ("SAME_UPPER", "SAME_LOWER") or wanted:
        total = []
        for axis in range(rank):
            size = sizes[axis]
            if wanted is not None and size is None:
                raise RefusalError(
                    "DYNAMIC_SHAPE",
                    "output_shape with a dynamic input size",
                    "bind the spatial dimensions with --shape",
                )
            if wanted is not None:
                full = strides[axis] * ((size or 0) - 1) + extra[axis] + extent[axis]
                total.append(full - wanted[axis - rank + len(wanted)])
            else:
                total.append(extra[axis] + extent[axis] - strides[axis])
        small = [max(item, 0) // 2 if item > 0 else -((-item) // 2) for item in total]
        large = [item - part for item, part in zip(total, small, strict=True)]
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
        if mode == "SAME_UPPER":
            before, after = small, large
    else:
        pads = ints_attribute(node, "pads") or [0] * (2 * rank)
        before, after = pads[:rank], pads[rank:]
    return _Spread(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        before=tuple(before),
        after=tuple(last - more for last, more in zip(after, extra, strict=True)),
    )


def _dilated(graph: GraphWriter, weights: Tensor, spread: _Spread) -> Tensor:
    if all(gap == 1 for gap in spread.dilations):
        return weights
    if weights.constant is None:
        raise RefusalError(
            "NOT_CONSTANT",
            "TFLite needs the weights of a dilated transposed convolution as a constant",
            "export the model with fixed weights",
        )
    shape = (*[dim or 0 for dim in (weights.shape or ())[:2]], *spread.extent)
    places = (slice(None), slice(None), *(slice(None, None, gap) for gap in spread.dilations))

    def write_out(array: Array) -> Array:
        wide = np.zeros(shape, array.dtype)
        wide[places] = array
        return wide

    return graph.derived(weights, write_out, shape)


def _spread_out(graph: GraphWriter, x: Tensor, weights: Tensor, spread: _Spread) -> Tensor:
    """Return the whole output, (size - 1) * stride + extent in each dimension."""
    assert x.shape is not None
    assert weights.shape is not None
    outputs = weights.shape[1] or 0
    sizes: Shape = tuple(
        None if size is None else (size - 1) * step + extent
        for size, step, extent in zip(x.shape[1:-1], spread.strides, spread.extent, strict=True)
    )
    shape: Shape = (x.shape[0], *sizes, outputs)
    if None in shape:
        factors = graph.constant(np.array([1, *spread.strides, 0], np.int32))
        rest = [extent - step for extent, step in zip(spread.extent, spread.strides, strict=True)]
        offsets = graph.constant(np.array([0, *rest, outputs], np.int32))
        scaled = binary(graph, "MUL", shape_of(graph, x), factors)
        wanted = binary(graph, "ADD", scaled, offsets)
    else:
        wanted = graph.constant(np.array(shape, np.int32))
    if len(spread.kernel) == _PLANE:
        filters = graph.transpose(weights, [1, 2, 3, 0])
        return graph.op(
            "TRANSPOSE_CONV",
            [wanted, filters, x],
            shape,
            "float32",
            padding="VALID",
            strideH=spread.strides[0],
            strideW=spread.strides[1],
        )
    filters = graph.transpose(weights, [2, 3, 4, 1, 0])
    return graph.op(
        "CONV_3D_TRANSPOSE",
        [wanted, filters, x],
        shape,
        "float32",
        padding="VALID",
        strideD=spread.strides[0],
        strideH=spread.strides[1],
        strideW=spread.strides[2],
        dilationDFactor=1,
        dilationHFactor=1,
        dilationWFactor=1,
        fusedActivationFunction="NONE",
    )


def _cut(graph: GraphWriter, y: Tensor, spread: _Spread) -> Tensor:
    """Cut the padding off, and add what output_padding adds."""
    assert y.shape is not None
    more = [max(-last, 0) for last in spread.after]
    if any(more):
        amounts = [(0, 0), *((0, item) for item in more), (0, 0)]
        shape = tuple(
            None if dim is None else dim + last
            for dim, (_, last) in zip(y.shape, amounts, strict=True)
        )
        y = graph.op("PAD", [y, graph.constant(np.array(amounts, np.int32))], shape)
    assert y.shape is not None
    if any(item < 0 for item in spread.before):
        raise RefusalError(
            "UNSUPPORTED_FORM", "TFLite has no negative padding", "pad the output by Pad"
        )
    less = [max(last, 0) for last in spread.after]
    if not any(spread.before) and not any(less):
        return y
    begin = np.array([0, *spread.before, 0], np.int32)
    end = np.array([0, *(-item for item in less), 0], np.int32)
    mask = sum(1 << axis for axis, item in enumerate(end) if item == 0)
    shape = tuple(
        None if dim is None else dim - int(first) + int(last)
        for dim, first, last in zip(y.shape, begin, end, strict=True)
    )
    ones = graph.constant(np.ones(len(shape), np.int32))
    return graph.op(
        "STRIDED_SLICE",
        [y, graph.constant(begin), graph.constant(end), ones],
        shape,
        beginMask=0,
        endMask=mask,
        ellipsisMask=0,
        newAxisMask=0,
        shrinkAxisMask=0,
    )
