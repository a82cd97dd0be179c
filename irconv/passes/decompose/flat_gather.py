"""Indexing by coordinates as one Gather from the flattened tensor."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Dim, Keep
from irconv.passes.decompose.site import Site

__all__ = ["coordinates", "gather_elements", "gather_nd", "take_elements", "wrapped"]


def wrapped(block: Block, index: ir.Value, size: Dim) -> ir.Value:
    """Return an int64 index whose negative values count from the end, as one from 0."""
    index = block.cast(index, ir.DataType.INT64)
    shifted = block.op("Add", index, block.number(size))
    return block.op("Where", block.op("Less", index, 0), shifted, index)


def coordinates(
    block: Block, index: ir.Value, data: ir.Value, axis: int
) -> list[tuple[ir.Value, Dim]]:
    """Return for each axis of ``data`` the coordinate of each item of ``index``, and the size.

    The coordinate along ``axis`` is the item itself, as ONNX GatherElements and ScatterElements
    define it; along any other axis it is the item's own.
    """
    rank = block.rank(data)
    found: list[tuple[ir.Value, Dim]] = []
    for position in range(rank):
        size = block.size(data, position)
        if position == axis:
            found.append((wrapped(block, index, size), size))
        else:
            own = block.count(block.size(index, position))
            found.append((block.along(own, position, rank), size))
    return found


def _offset(block: Block, parts: Sequence[tuple[ir.Value, Dim]]) -> ir.Value:
    """Return the offset into the flattened tensor, in row-major order."""
    offset, _ = parts[0]
    for coordinate, size in parts[1:]:
        offset = block.op("Add", block.op("Mul", offset, block.number(size)), coordinate)
    return offset


def take_elements(block: Block, data: ir.Value, index: ir.Value, axis: int) -> ir.Value:
    """Return what ONNX GatherElements returns; ``index`` has the rank of ``data``."""
    offset = _offset(block, coordinates(block, index, data, axis))
    return block.op("Gather", block.reshape(data, [-1]), offset, axis=0)


def gather_elements(site: Site) -> ir.Value:
    """ONNX GatherElements (since 13): one Gather from the flattened data."""
    return take_elements(site, site.input(0), site.input(1), site.axis(default=0))


def gather_nd(site: Site) -> ir.Value:
    """ONNX GatherND (since 13), with ``batch_dims``: one Gather from the partly flattened data."""
    data, index = site.input(0), site.input(1)
    batch = site.attribute("batch_dims", 0)
    sizes = site.sizes(data)
    rank = site.rank(index)
    depth = site.dims(index)[-1]
    if depth is None:
        raise Keep("the last dim of its indices is not static")
    parts: list[tuple[ir.Value, Dim]] = []
    for axis in range(batch):
        own = site.count(sizes[axis])
        parts.append((site.along(own, axis, max(rank - 1, 1)), sizes[axis]))
    for position in range(depth):
        item = site.op("Gather", index, site.scalar(position, ir.DataType.INT64), axis=-1)
        size = sizes[batch + position]
        parts.append((wrapped(site, item, size), size))
    if not parts:
        return site.op("Identity", data)
    split = batch + depth
    rows = site.reshape(data, [site.product(sizes[:split]), *sizes[split:]])
    return site.op("Gather", rows, _offset(site, parts), axis=0)
