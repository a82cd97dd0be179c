"""Operators that change the shape and move nothing, and those on shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite.edges import first_to_last, last_to_first
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.sizes import known_items

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("RESHAPE")
def reshape(site: Site) -> None:
    """RESHAPE: Reshape; pixels alone in their image have one order in both layouts."""
    x, y, nodes = site.input(0), site.output(), site.nodes
    raw = site.carries(x)
    sizes = _stated_sizes(site)
    if sizes is None:
        value = x.read(raw=raw, first=x.is_first and _is_pixel(x))
        site.bind(nodes.op("Reshape", value, site.int64(1)), raw=raw)
        return
    in_first = x.is_first and (_is_pixel(x) or _keeps_pixels(x, sizes))
    value = x.read(raw=raw, first=in_first)
    first = in_first and _keeps_pixels(x, sizes)
    first = (first or (len(sizes) == 4 and sizes[1:3] == [1, 1])) and _has_rank(y, sizes)
    if first:
        sizes = [sizes[axis] for axis in last_to_first(len(sizes))]
    if _keeps_batch(x, sizes):
        value = nodes.op("Reshape", value, nodes.ints([0, *sizes[1:]]))
    else:
        value = nodes.reshape(value, sizes)
    site.bind(value, raw=raw, first=first)


def _stated_sizes(site: Site) -> list[int] | None:
    """Return the new shape, -1 for one size that is computed; None where more are."""
    if site.has(1):
        items = known_items(site.input(1))
        if items is None or items.count(None) + items.count(-1) > 1:
            return None
        return [-1 if item is None else item for item in items]
    return [int(size) for size in site.option("new_shape", ())]


def _keeps_batch(x: Edge, sizes: list[int]) -> bool:
    """Whether the size that is computed is that of the operand's first dimension."""
    if x.tensor.shape is None or not sizes or not x.rank:
        return False
    batch, *rest = x.shape
    if batch is not None or sizes[0] != -1 or None in rest or 0 in sizes:
        return False
    return math.prod(size or 0 for size in rest) == math.prod(sizes[1:])


def _has_rank(edge: Edge, sizes: list[int]) -> bool:
    return edge.tensor.shape is not None and edge.rank == len(sizes)


def _keeps_pixels(x: Edge, sizes: list[int]) -> bool:
    """Whether batch, pixels and channels stay, and only dimensions of size 1 come or go."""
    if x.tensor.shape is None or x.rank < 3 or not 3 <= len(sizes) <= 5:
        return False
    shape = [-1 if size is None else size for size in x.shape]
    ends = shape[0] == sizes[0] and shape[-1] == sizes[-1]
    return ends and [s for s in shape[1:-1] if s != 1] == [s for s in sizes[1:-1] if s != 1]


def _is_pixel(edge: Edge) -> bool:
    return edge.rank > 2 and all(size == 1 for size in edge.shape[1:-1])


@converts("EXPAND_DIMS")
def expand_dims(site: Site) -> None:
    """EXPAND_DIMS: Unsqueeze; a row of pixels with channels first becomes such an image."""
    x = site.input(0)
    raw = site.carries(x)
    axis = site.fixed_ints(1, "its dimension")[0]
    axis += (x.rank + 1) * (axis < 0)
    first = x.is_first and 0 < axis < x.rank and x.rank + 1 <= 5
    place = axis + 1 if first else axis
    value = site.nodes.unsqueeze(x.read(raw=raw, first=first), place)
    site.bind(value, raw=raw, first=first)


@converts("SQUEEZE")
def squeeze(site: Site) -> None:
    """SQUEEZE: Squeeze; an image one pixel high with channels first becomes a row of them."""
    x = site.input(0)
    raw = site.carries(x)
    axes = [int(axis) % x.rank for axis in site.option("squeeze_dims", ()) if x.rank]
    axes = axes or [axis for axis, size in enumerate(x.shape) if size == 1]
    if x.is_first:
        order = last_to_first(x.rank)
        left = [axis for axis in order if axis not in axes]
        in_order = left == sorted(left)
        if in_order or (left[:2] == [0, x.rank - 1] and len(left) > 2):
            places = sorted(order.index(axis) for axis in axes)
            value = site.nodes.squeeze(x.read(raw=raw, first=True), *places)
            site.bind(value, raw=raw, first=not in_order)
            return
    value = x.read(raw=raw)
    site.bind(site.nodes.squeeze(value, *axes) if axes else value, raw=raw)


@converts("TRANSPOSE")
def transpose(site: Site) -> None:
    """TRANSPOSE: Transpose, or none where the operand is at hand in that order."""
    x = site.input(0)
    order = site.fixed_ints(1, "its permutation")
    if sorted(order) != list(range(x.rank)):
        raise RefusalError(f"its permutation is {order}")
    raw = site.carries(x)
    same = list(range(x.rank))
    sources = [x.is_first, *((False, True) if x.has_first else ())]
    for source in sources:
        read = first_to_last(x.rank) if source else same
        to_last = [read[axis] for axis in order]
        if to_last == same:
            site.bind(x.read(raw=raw, first=source), raw=raw)
            return
        if x.rank in (4, 5) and [to_last[axis] for axis in last_to_first(x.rank)] == same:
            site.bind(x.read(raw=raw, first=source), raw=raw, first=True)
            return
    source = sources[0]
    read = first_to_last(x.rank) if source else same
    value = x.read(raw=raw, first=source)
    site.bind(site.nodes.transpose(value, [read[axis] for axis in order]), raw=raw)


@converts("SHAPE")
def shape(site: Site) -> None:
    """SHAPE: a constant where it is known, else Shape."""
    x, y = site.input(0), site.output()
    if x.tensor.shape is not None and None not in x.shape:
        y.set_raw(site.nodes.constant(np.array(x.shape, y.tensor.dtype)))
        return
    if x.is_first:
        sizes = site.nodes.sizes(x.raw(first=True))
        sizes = site.nodes.op("Gather", sizes, site.nodes.ints(first_to_last(x.rank)))
    else:
        sizes = site.nodes.sizes(x.raw())
    y.set_raw(site.nodes.cast(sizes, y.tensor.dtype))


@converts("RANK")
def rank(site: Site) -> None:
    """RANK: a constant."""
    site.output().set_raw(site.nodes.constant(site.input(0).rank, "int32"))


@converts("BROADCAST_TO")
def broadcast_to(site: Site) -> None:
    """BROADCAST_TO: Expand."""
    x = site.input(0)
    raw = site.carries(x)
    site.bind(site.nodes.op("Expand", x.read(raw=raw), site.int64(1)), raw=raw)


@converts("BROADCAST_ARGS")
def broadcast_args(site: Site) -> None:
    """BROADCAST_ARGS: the larger size of each dimension, of which one is 1 or both are equal."""
    lengths = [site.input(index).shape[0] for index in range(2)]
    if None in lengths:
        raise RefusalError("the number of its dimensions is computed at run time")
    known = [length for length in lengths if length is not None]
    operands: list[ir.Value] = []
    for index, length in enumerate(known):
        value = site.int64(index)
        missing = max(known) - length
        if missing:
            ones = site.nodes.ints([1] * missing)
            value = site.nodes.op("Concat", ones, value, axis=0)
        operands.append(value)
    one = site.nodes.constant(1, "int64")
    is_one = site.nodes.op("Equal", operands[0], one)
    sizes = site.nodes.op("Where", is_one, operands[1], operands[0])
    site.output().set_raw(site.nodes.cast(sizes, site.output().tensor.dtype))


@converts("FILL")
def fill(site: Site) -> None:
    """FILL: Expand of the value."""
    value = site.input(1)
    raw = site.carries(value)
    site.bind(site.nodes.op("Expand", value.read(raw=raw), site.int64(0)), raw=raw)


@converts("RANGE")
def range_(site: Site) -> None:
    """RANGE: Range."""
    bounds = [_scalar(site, index) for index in range(3)]
    site.write(site.nodes.op("Range", *bounds))


def _scalar(site: Site, index: int) -> ir.Value:
    edge = site.input(index)
    return site.nodes.reshape(edge.raw(), []) if edge.rank else edge.raw()
