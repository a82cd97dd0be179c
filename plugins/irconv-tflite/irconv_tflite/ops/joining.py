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
    if sizes_value is not None and graph.ints(sizes_value) is None:
        _split_by_computed(graph, node, x, axis)
        return
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


def _split_by_computed(graph: GraphWriter, node: ir.Node, x: Tensor, axis: int) -> None:
    """Split into parts whose sizes only the run knows."""
    dims = graph.shape(node.inputs[0])
    count = len(node.outputs)
    results = [(x.dtype, (*dims[:axis], None, *dims[axis + 1 :]))] * count
    sizes = graph.read(node.inputs[1], "int32")
    operands = [x, sizes, graph.constant(np.int32(axis))]
    for value, part in zip(
        node.outputs, graph.ops("SPLIT_V", operands, results, numSplits=count), strict=True
    ):
        restore(graph, value, part)


@emits("Slice")
def slice_(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Slice: STRIDED_SLICE, whose bounds count from the end and clamp as ONNX's do."""
    x = graph.read(node.inputs[0])
    rank = graph.rank(node.inputs[0])
    count = graph.shape(node.inputs[1])[0]
    axes_value, steps_value = given(node, 3), given(node, 4)
    axes = tuple(range(count or 0)) if axes_value is None else graph.ints(axes_value)
    if count is None and axes is None:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "how many axes are sliced is known only when the model runs",
            "bind the shape of the axes with --shape",
        )
    defaults = (0, _INT32.max, 1)
    values = (node.inputs[1], node.inputs[2], steps_value)
    operands = [
        graph.constant(np.full(rank, default, np.int32))
        if value is None
        else _by_axis(graph, value, axes, axes_value, rank, default)
        for value, default in zip(values, defaults, strict=True)
    ]
    result = graph.op(
        "STRIDED_SLICE",
        [x, *operands],
        result_shape(graph, node),
        beginMask=0,
        endMask=0,
        ellipsisMask=0,
        newAxisMask=0,
        shrinkAxisMask=0,
    )
    graph.write(node.outputs[0], result)


def _by_axis(
    graph: GraphWriter,
    value: ir.Value,
    axes: tuple[int, ...] | None,
    axes_value: ir.Value | None,
    rank: int,
    default: int,
) -> Tensor:
    """Return one number for every dimension: an item of ``value`` for each axis, else a default.

    Args:
        graph: Where to add operators.
        value: A vector of int32 or int64, as long as there are axes.
        axes: The axes, or None where only the run knows them.
        axes_value: The vector of axes, unless they are the first ones.
        rank: How many dimensions there are.
        default: What stands for a dimension that is no axis.
    """
    items = graph.ints(value)
    if items is not None and axes is not None:
        numbers = np.full(rank, default, np.int32)
        numbers[[axis % rank for axis in axes]] = np.clip(items, -_INT32.max, _INT32.max)
        return graph.constant(numbers)
    wide = graph.read(value, "int64")
    for code, limit in (("MINIMUM", _INT32.max), ("MAXIMUM", -_INT32.max)):
        wide = graph.op(code, [wide, graph.constant(np.int64(limit))], wide.shape)
    narrow = graph.cast(wide, "int32")
    if axes == tuple(range(rank)):
        return narrow
    if axes is not None:
        places = graph.constant(np.array([[axis % rank] for axis in axes], np.int32))
    else:
        given_axes = graph.read(axes_value, "int32")
        limit_tensor = graph.constant(np.int32(rank))
        positive = graph.op("FLOOR_MOD", [given_axes, limit_tensor], given_axes.shape)
        last = graph.constant(np.int32(1))
        places = graph.op("EXPAND_DIMS", [positive, last], (*(positive.shape or (None,)), 1))
    size = graph.constant(np.array([rank], np.int32))
    if default == 0:
        return graph.op("SCATTER_ND", [places, narrow, size], (rank,), "int32")
    offset = graph.constant(np.int32(default))
    moved = graph.op("SUB", [narrow, offset], narrow.shape)
    spread = graph.op("SCATTER_ND", [places, moved, size], (rank,), "int32")
    return graph.op("ADD", [spread, offset], (rank,))


@emits("Pad")
def pad(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Pad: PAD or PADV2; MIRROR_PAD for reflect; GATHER for edge and wrap."""
    rank = graph.rank(node.inputs[0])
    mode = text_attribute(node, "mode", "constant")
    axes_value = given(node, 3)
    axes = tuple(range(rank)) if axes_value is None else graph.ints(axes_value)
    amounts = graph.ints(node.inputs[1])
    if amounts is None or axes is None:
        _pad_by_computed(graph, node, axes, rank, mode)
        return
    before, after = np.zeros(rank, np.int64), np.zeros(rank, np.int64)
    for position, axis in enumerate(axis % rank for axis in axes):
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
    graph: GraphWriter, node: ir.Node, axes: tuple[int, ...] | None, rank: int, mode: str
) -> None:
    """Pad by amounts that only the run knows; they must not be negative then."""
    if mode != "constant":
        graph.fixed_ints(node.inputs[1], "the amounts of padding")
    amounts = graph.read(node.inputs[1], "int32")
    total = (amounts.shape or (None,))[0]
    count = len(axes) if axes is not None else None if total is None else total // 2
    if count is None:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "how many axes are padded is known only when the model runs",
            "bind the shape of the amounts with --shape",
        )
    halves = graph.reshape(amounts, [2, count])
    paddings = graph.transpose(halves, [1, 0])
    if axes != tuple(range(rank)):
        if axes is not None:
            places = graph.constant(np.array([[axis % rank] for axis in axes], np.int32))
        else:
            given_axes = graph.read(node.inputs[3], "int32")
            limit = graph.constant(np.int32(rank))
            positive = graph.op("FLOOR_MOD", [given_axes, limit], (count,))
            places = graph.reshape(positive, [count, 1])
        size = graph.constant(np.array([rank, 2], np.int32))
        paddings = graph.op("SCATTER_ND", [places, paddings, size], (rank, 2), "int32")
    x = carry(graph, node.inputs[0])
    restore(graph, node.outputs[0], _pad_constant(graph, node, x, paddings))
