"""Operators that cut out, join and repeat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite.edges import last_to_first
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__ = ["place_of"]

_END = (1 << 63) - 1
_MOST_PLACES = 1 << 20
"""How many places a constant may list; a file may claim any size."""


def place_of(axis: int, rank: int, *, first: bool) -> int:
    """Return where a dimension is in the layout that is asked for."""
    return last_to_first(rank).index(axis) if first else axis


@converts("CONCATENATION")
def concatenation(site: Site) -> None:
    """CONCATENATION: Concat."""
    edges = site.inputs
    rank = edges[0].rank
    axis = int(site.option("axis")) % rank
    raw = site.carries(*edges) and not site.option("fused_activation_function")
    first = site.follows_first(*edges)
    values = [edge.read(raw=raw, first=first) for edge in edges]
    value = site.nodes.op("Concat", *values, axis=place_of(axis, rank, first=first))
    site.bind(value if raw else site.activated(value), raw=raw, first=first)


@converts("PACK")
def pack(site: Site) -> None:
    """PACK: Concat of operands that got a new dimension."""
    edges, nodes = site.inputs, site.nodes
    axis = int(site.option("axis")) % (edges[0].rank + 1)
    raw = site.carries(*edges)
    values = [nodes.unsqueeze(edge.read(raw=raw), axis) for edge in edges]
    site.bind(nodes.op("Concat", *values, axis=axis), raw=raw)


@converts("UNPACK")
def unpack(site: Site) -> None:
    """UNPACK: a Gather for each slice."""
    x = site.input(0)
    axis = int(site.option("axis")) % x.rank
    raw = site.carries(x)
    value = x.read(raw=raw)
    for number in range(len(site.operator.outputs)):
        item = site.nodes.op("Gather", value, site.nodes.constant(number, "int64"), axis=axis)
        site.bind(item, number, raw=raw)


@converts("SPLIT")
def split(site: Site) -> None:
    """SPLIT into equal parts: Split; the dimension is the first operand."""
    x = site.input(1)
    axis = site.fixed_ints(0, "its dimension")[0] % x.rank
    _split(site, x, axis, None)


@converts("SPLIT_V")
def split_v(site: Site) -> None:
    """SPLIT_V: Split into parts of given sizes, of which one may be -1 for the rest."""
    x = site.input(0)
    axis = site.fixed_ints(2, "its dimension")[0] % x.rank
    sizes = site.ints(1)
    if sizes is None:
        _split(site, x, axis, site.int64(1))
        return
    if -1 in sizes:
        total = x.shape[axis]
        if total is None:
            raise RefusalError("the size of its last part is computed at run time")
        sizes[sizes.index(-1)] = total - sum(sizes) - 1
    _split(site, x, axis, site.nodes.ints(sizes))


def _split(site: Site, x: Edge, axis: int, sizes: ir.Value | None) -> None:
    raw = site.carries(x)
    first = site.follows_first(x)
    count = len(site.operator.outputs)
    values = site.nodes.ops(
        "Split",
        count,
        x.read(raw=raw, first=first),
        sizes,
        axis=place_of(axis, x.rank, first=first),
        num_outputs=count if sizes is None else None,
    )
    for number, value in enumerate(values):
        site.bind(value, number, raw=raw, first=first)


@converts("SLICE")
def slice_(site: Site) -> None:
    """SLICE: Slice from a start over a size, -1 for all that is left."""
    x, nodes = site.input(0), site.nodes
    raw = site.carries(x)
    starts, sizes = site.ints(1), site.ints(2)
    axes = list(range(x.rank))
    if starts is not None and sizes is not None:
        first = site.follows_first(x)
        ends = [
            _END if size < 0 else start + size for start, size in zip(starts, sizes, strict=True)
        ]
        places = [place_of(axis, x.rank, first=first) for axis in axes]
        value = nodes.slice(x.read(raw=raw, first=first), starts, ends, places)
        site.bind(value, raw=raw, first=first)
        return
    begin, size = site.int64(1), site.int64(2)
    end = nodes.op("Add", begin, size)
    rest = nodes.op("Less", size, nodes.constant(0, "int64"))
    end = nodes.op("Where", rest, nodes.constant(_END, "int64"), end)
    value = nodes.op("Slice", x.read(raw=raw), begin, end, nodes.ints(axes))
    site.bind(value, raw=raw)


@converts("PAD", "PADV2")
def pad(site: Site) -> None:
    """PAD: Pad by zeros or the third operand, in real numbers."""
    fill = site.input(2) if site.code == "PADV2" and site.has(2) else None
    _pad(site, "constant", fill)


@converts("MIRROR_PAD")
def mirror_pad(site: Site) -> None:
    """MIRROR_PAD: Pad; the symmetric kind repeats the border, so it is laid out by Gather."""
    if site.option("mode") == 0:
        _pad(site, "reflect", None)
        return
    x, nodes = site.input(0), site.nodes
    raw = site.carries(x)
    pads = np.reshape(site.fixed_ints(1, "its padding"), (-1, 2))
    value = x.read(raw=raw)
    for axis, (before, after) in enumerate(pads):
        size = x.shape[axis]
        if not before and not after:
            continue
        if size is None:
            raise RefusalError("the size that it mirrors is computed at run time")
        if size + int(before) + int(after) > _MOST_PLACES:
            raise RefusalError(f"it mirrors {size} numbers along one dimension")
        places = np.pad(np.arange(size), (int(before), int(after)), mode="symmetric")
        value = nodes.op("Gather", value, nodes.ints([int(at) for at in places]), axis=axis)
    site.bind(value, raw=raw)


def _pad(site: Site, mode: str, fill: Edge | None) -> None:
    x, nodes = site.input(0), site.nodes
    pads = site.ints(1)
    number = fill.real() if fill is not None else None
    if number is not None and fill is not None and fill.rank:
        number = nodes.reshape(number, [])
    kind = None if mode == "constant" else mode
    if pads is None:
        table = nodes.op("Transpose", site.int64(1), perm=[1, 0])
        flat = nodes.reshape(table, [-1])
        site.write(nodes.op("Pad", x.real(), flat, number, mode=kind))
        return
    first = site.follows_first(x)
    order = last_to_first(x.rank) if first else range(x.rank)
    ordered = [pads[2 * axis] for axis in order] + [pads[2 * axis + 1] for axis in order]
    value = nodes.op("Pad", x.real(first=first), nodes.ints(ordered), number, mode=kind)
    site.write(value, first=first)


@converts("TILE")
def tile(site: Site) -> None:
    """TILE: Tile."""
    x = site.input(0)
    raw = site.carries(x)
    site.bind(site.nodes.op("Tile", x.read(raw=raw), site.int64(1)), raw=raw)


@converts("REVERSE_V2")
def reverse_v2(site: Site) -> None:
    """REVERSE_V2: Slice backwards."""
    x = site.input(0)
    raw = site.carries(x)
    axes = [axis % x.rank for axis in site.fixed_ints(1, "its dimensions")]
    count = len(axes)
    value = site.nodes.slice(x.read(raw=raw), [-1] * count, [-_END] * count, axes, [-1] * count)
    site.bind(value, raw=raw)


@converts("REVERSE_SEQUENCE")
def reverse_sequence(site: Site) -> None:
    """REVERSE_SEQUENCE: ReverseSequence, whose dimensions are brought to the front."""
    x, nodes = site.input(0), site.nodes
    raw = site.carries(x)
    time, batch = int(site.option("seq_dim")) % x.rank, int(site.option("batch_dim")) % x.rank
    order = [time, batch, *(axis for axis in range(x.rank) if axis not in (time, batch))]
    value = nodes.transpose(x.read(raw=raw), order)
    value = nodes.op("ReverseSequence", value, site.int64(1), time_axis=0, batch_axis=1)
    back = [int(axis) for axis in np.argsort(order)]
    site.bind(nodes.transpose(value, back), raw=raw)


@converts("DYNAMIC_UPDATE_SLICE")
def dynamic_update_slice(site: Site) -> None:
    """DYNAMIC_UPDATE_SLICE: ScatterND; the start is moved so that the update lies within."""
    x, update, nodes = site.input(0), site.input(1), site.nodes
    raw = site.carries(x, update)
    value, part = x.read(raw=raw), update.read(raw=raw)
    sizes = nodes.sizes(part)
    room = nodes.op("Sub", nodes.sizes(value), sizes)
    start = nodes.op("Max", nodes.op("Min", site.int64(2), room), nodes.constant(0, "int64"))
    if None in update.shape or math.prod(size or 0 for size in update.shape) > _MOST_PLACES:
        ones = nodes.op("Expand", nodes.constant(1, "int64"), sizes)
        grid = nodes.op("Transpose", nodes.op("NonZero", ones), perm=[1, 0])
        part = nodes.reshape(part, [-1])
    else:
        known = [size or 0 for size in update.shape]
        grid = nodes.constant(np.moveaxis(np.indices(known), 0, -1).astype(np.int64))
    site.bind(nodes.op("ScatterND", value, nodes.op("Add", grid, start), part), raw=raw)
