"""Joining, splitting, cutting and padding tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute, text_attribute
from irconv_tflite.ops.carrying import MOVED, carry, restore
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import result_shape

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__: list[str] = []

_INT32 = np.iinfo(np.int32)


@emits("Concat")
def concat(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Concat: CONCATENATION."""
    operands = [carry(graph, value, (*MOVED, "bool")) for value in node.inputs]
    axis = int_attribute(node, "axis", 0) % graph.rank(node.inputs[0])
    shape = result_shape(graph, node)
    restore(graph, node.outputs[0], graph.op("CONCATENATION", operands, shape, axis=axis))


@emits("Split")
def split(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Split: SPLIT_V, or SPLIT into equal parts."""
    dims = graph.shape(node.inputs[0])
    axis = int_attribute(node, "axis", 0) % len(dims)
    x = carry(graph, node.inputs[0])
    count = len(node.outputs)
    sizes_value = given(node, 1)
    if sizes_value is not None:
        sizes = list(graph.fixed_ints(sizes_value, "the sizes of the parts"))
    elif dims[axis] is None:
        if "num_outputs" in node.attributes:
            raise RefusalError(
                "DYNAMIC_SHAPE",
                "the parts of a dynamic dimension may be unequal",
                "bind the dimension with --shape, or give the sizes of the parts",
            )
        sizes = []
    else:
        whole = dims[axis] or 0
        part = -(-whole // count)
        sizes = [max(min(part, whole - index * part), 0) for index in range(count)]
    axis_tensor = graph.constant(np.int32(axis))
    if not sizes:
        results = [(x.dtype, result_shape(graph, node, index)) for index in range(count)]
        parts = graph.ops("SPLIT", [axis_tensor, x], results, numSplits=count)
    else:
        results = [(x.dtype, (*dims[:axis], part, *dims[axis + 1 :])) for part in sizes]
        sizes_tensor = graph.constant(np.array(sizes, np.int32))
        parts = graph.ops("SPLIT_V", [x, sizes_tensor, axis_tensor], results, numSplits=count)
    for value, part_tensor in zip(node.outputs, parts, strict=True):
        restore(graph, value, part_tensor)


@emits("Slice")
def slice_(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Slice: STRIDED_SLICE, whose bounds clamp as ONNX's do.

    A negative step ends before index 0 where ONNX's end is far below zero; TFLite says that by
    an end mask.
    """
    x = graph.read(node.inputs[0])
    rank = graph.rank(node.inputs[0])
    axes_value, steps_value = given(node, 3), given(node, 4)
    starts_shape = graph.shape(node.inputs[1])
    count = starts_shape[0]
    axes = (
        tuple(range(count or 0))
        if axes_value is None and count is not None
        else graph.fixed_ints(axes_value, "the axes")
    )
    axes = tuple(axis % rank for axis in axes)
    steps = (1,) * len(axes) if steps_value is None else graph.fixed_ints(steps_value, "the steps")
    begin = _bounds(graph, node.inputs[1], axes, rank)
    end = _bounds(graph, node.inputs[2], axes, rank)
    stride = [1] * rank
    begin_mask = end_mask = 0
    fixed = [graph.ints(value) for value in node.inputs[1:3]]
    for axis in range(rank):
        if axis not in axes:
            begin_mask |= 1 << axis
            end_mask |= 1 << axis
    for position, axis in enumerate(axes):
        stride[axis] = int(np.clip(steps[position], _INT32.min + 1, _INT32.max))
        if fixed[1] is not None and stride[axis] < 0:
            size = (x.shape or ())[axis]
            last = fixed[1][position]
            if last < _INT32.min or (size is not None and last < -size):
                end_mask |= 1 << axis
    result = graph.op(
        "STRIDED_SLICE",
        [x, begin, end, graph.constant(np.array(stride, np.int32))],
        result_shape(graph, node),
        beginMask=begin_mask,
        endMask=end_mask,
        ellipsisMask=0,
        newAxisMask=0,
        shrinkAxisMask=0,
    )
    graph.write(node.outputs[0], result)


def _bounds(graph: GraphWriter, value: ir.Value | None, axes: tuple[int, ...], rank: int) -> Tensor:
    """Return bounds for every dimension, with 0 where the slice does not touch it."""
    items = graph.ints(value)
    if items is not None:
        bounds = np.zeros(rank, np.int32)
        bounds[list(axes)] = np.clip(items, _INT32.min, _INT32.max)
        return graph.constant(bounds)
    wide = graph.read(value, "int64")
    limits = [graph.constant(np.int64(limit)) for limit in (_INT32.max, _INT32.min)]
    for code, limit in zip(("MINIMUM", "MAXIMUM"), limits, strict=True):
        wide = graph.op(code, [wide, limit], wide.shape)
    narrow = graph.cast(wide, "int32")
    if axes == tuple(range(rank)):
        return narrow
    places = graph.constant(np.array(axes, np.int32).reshape(-1, 1))
    size = graph.constant(np.array([rank], np.int32))
    return graph.op("SCATTER_ND", [places, narrow, size], (rank,), "int32")


@emits("Pad")
def pad(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Pad: PAD or PADV2; MIRROR_PAD for reflect; GATHER for edge and wrap."""
    rank = graph.rank(node.inputs[0])
    mode = text_attribute(node, "mode", "constant")
    axes_value = given(node, 3)
    axes = (
        tuple(range(rank))
        if axes_value is None
        else tuple(axis % rank for axis in graph.fixed_ints(axes_value, "the axes"))
    )
    amounts_value = node.inputs[1]
    amounts = graph.ints(amounts_value)
    if amounts is None:
        _pad_by_computed(graph, node, axes, rank, mode)
        return
    before, after = np.zeros(rank, np.int64), np.zeros(rank, np.int64)
    for position, axis in enumerate(axes):
        before[axis], after[axis] = amounts[position], amounts[position + len(axes)]
    x = _crop(graph, carry(graph, node.inputs[0]), before, after)
    before, after = before.clip(min=0), after.clip(min=0)
    if not before.any() and not after.any():
        restore(graph, node.outputs[0], x)
        return
    if mode == "constant":
        paddings = graph.constant(np.stack([before, after], 1).astype(np.int32))
        restore(graph, node.outputs[0], _pad_constant(graph, node, x, paddings))
        return
    sizes = np.array(_static(x))
    for axis in range(rank):
        if before[axis] or after[axis]:
            index = np.arange(-before[axis], sizes[axis] + after[axis])
            index = _MODES[mode](index, int(sizes[axis]))
            shape = list(x.shape or ())
            shape[axis] = len(index)
            places = graph.constant(index.astype(np.int32))
            x = graph.op("GATHER", [x, places], tuple(shape), axis=axis, batchDims=0)
    restore(graph, node.outputs[0], x)


def _static(x: Tensor) -> tuple[int, ...]:
    if not x.is_static:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "padding by the tensor's own values needs known sizes",
            "bind the dynamic dimensions with --shape",
        )
    return tuple(dim or 0 for dim in x.shape or ())


def _reflected(index: Array, size: int) -> Array:
    period = max(2 * (size - 1), 1)
    folded = np.abs(index) % period
    mirrored: Array = np.where(folded >= size, period - folded, folded)
    return mirrored


_MODES: Mapping[str, Callable[[Array, int], Array]] = {
    "reflect": _reflected,
    "edge": lambda index, size: index.clip(0, size - 1),
    "wrap": lambda index, size: index % size,
}


def _crop(graph: GraphWriter, x: Tensor, before: Array, after: Array) -> Tensor:
    """Cut off where padding is negative."""
    if (before >= 0).all() and (after >= 0).all():
        return x
    sizes = np.array(_static(x))
    start = (-before).clip(min=0)
    kept = sizes - start - (-after).clip(min=0)
    bounds = [graph.constant(item.astype(np.int32)) for item in (start, kept)]
    return graph.op("SLICE", [x, *bounds], tuple(int(item) for item in kept))


def _pad_constant(graph: GraphWriter, node: ir.Node, x: Tensor, paddings: Tensor) -> Tensor:
    shape = result_shape(graph, node)
    value = given(node, 2)
    known = None if value is None else graph.array(value)
    if value is None or (known is not None and not known.any()):
        return graph.op("PAD", [x, paddings], shape)
    fill = carry(graph, value)
    return graph.op("PADV2", [x, paddings, graph.reshape(fill, [])], shape)


def _pad_by_computed(
    graph: GraphWriter, node: ir.Node, axes: tuple[int, ...], rank: int, mode: str
) -> None:
    if mode != "constant" or axes != tuple(range(rank)):
        graph.fixed_ints(node.inputs[1], "the amounts of padding")
    amounts = graph.read(node.inputs[1], "int32")
    halves = graph.op(
        "RESHAPE", [amounts, graph.constant(np.array([2, rank], np.int32))], (2, rank)
    )
    paddings = graph.transpose(halves, [1, 0])
    x = carry(graph, node.inputs[0])
    restore(graph, node.outputs[0], _pad_constant(graph, node, x, paddings))
