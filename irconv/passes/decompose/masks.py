"""Operators that compare positions: one-hot rows, triangles, the identity matrix."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Dim, Keep
from irconv.passes.decompose.flat_gather import wrapped
from irconv.passes.decompose.site import Site

__all__ = ["eye_like", "hardmax", "one_hot", "trilu"]


def one_hot(site: Site) -> ir.Value:
    """ONNX OneHot (since 11): compare each index with the positions along the new axis."""
    index, values = site.cast(site.input(0), ir.DataType.INT64), site.input(2)
    depth = site.reshape(site.cast(site.input(1), ir.DataType.INT64), [1])
    rank = site.rank(index) + 1
    axis = site.attribute("axis", -1) % rank
    index = site.op("Unsqueeze", wrapped(site, index, depth), [axis])
    hit = site.op("Equal", index, site.along(site.count(depth), axis, rank))
    off, on = (
        site.op("Gather", values, site.scalar(place, ir.DataType.INT64), axis=0) for place in (0, 1)
    )
    return site.op("Where", hit, on, off)


def _diagonal(block: Block, rows: Dim, columns: Dim) -> ir.Value:
    """Return the number of the diagonal of each item of a matrix; 0 is the main one."""
    row, column = block.count(rows), block.count(columns)
    return block.op("Sub", block.op("Unsqueeze", column, [0]), block.op("Unsqueeze", row, [1]))


def trilu(site: Site) -> ir.Value:
    """ONNX Trilu (since 14): zero below or above the diagonal ``k`` of each matrix."""
    data, k = site.input(0), site.maybe(1)
    rank = site.rank(data)
    diagonal = _diagonal(site, site.size(data, rank - 2), site.size(data, rank - 1))
    wanted = site.scalar(0, ir.DataType.INT64) if k is None else site.op("Squeeze", k)
    comparison = "GreaterOrEqual" if site.attribute("upper", 1) else "LessOrEqual"
    kept = site.op(comparison, diagonal, wanted)
    return site.op("Where", kept, data, site.scalar(0, site.dtype(data)))


def eye_like(site: Site) -> ir.Value:
    """ONNX EyeLike (since 9): ones on diagonal ``k``."""
    data = site.input(0)
    if site.rank(data) != 2:
        raise Keep("its input is no matrix")
    dtype = ir.DataType(site.attribute("dtype", int(site.dtype(data))))
    diagonal = _diagonal(site, site.size(data, 0), site.size(data, 1))
    return site.op("Cast", site.op("Equal", diagonal, site.attribute("k", 0)), to=int(dtype))


def hardmax(site: Site) -> ir.Value:
    """ONNX Hardmax (since 13): one at the first largest item along ``axis``, zero elsewhere."""
    data = site.input(0)
    axis, rank = site.axis(), site.rank(data)
    size = site.size(data, axis)
    if size == 0:
        return site.op("Identity", data)
    best = site.op("ArgMax", data, axis=axis, keepdims=1)
    position = site.along(site.count(size), axis, rank)
    return site.op("Cast", site.op("Equal", position, best), to=int(site.dtype(data)))
