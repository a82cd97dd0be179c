"""Operators that take by index and put by index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_MOST_CLASSES = 1 << 16


@converts("GATHER")
def gather(site: Site) -> None:
    """GATHER: Gather, or GatherND where rows are taken within a batch."""
    x, indices = site.input(0), site.input(1)
    raw = site.carries(x)
    batch = int(site.option("batch_dims"))
    batch += indices.rank * (batch < 0)
    axis = int(site.option("axis"))
    axis += x.rank * (axis < 0)
    if not batch:
        value = site.nodes.op("Gather", x.read(raw=raw), indices.raw(), axis=axis)
        site.bind(value, raw=raw)
        return
    if axis != batch:
        raise RefusalError(f"it takes along dimension {axis} with {batch} batch dimensions")
    places = site.nodes.unsqueeze(site.int64(1), -1)
    site.bind(site.nodes.op("GatherND", x.read(raw=raw), places, batch_dims=batch), raw=raw)


@converts("EMBEDDING_LOOKUP")
def embedding_lookup(site: Site) -> None:
    """EMBEDDING_LOOKUP: Gather of rows, then as real numbers."""
    table = site.input(1)
    raw = site.carries(table)
    site.bind(site.nodes.op("Gather", table.read(raw=raw), site.input(0).raw()), raw=raw)


@converts("GATHER_ND")
def gather_nd(site: Site) -> None:
    """GATHER_ND: GatherND."""
    x = site.input(0)
    raw = site.carries(x)
    site.bind(site.nodes.op("GatherND", x.read(raw=raw), site.int64(1)), raw=raw)


@converts("SCATTER_ND")
def scatter_nd(site: Site) -> None:
    """SCATTER_ND: ScatterND into zeros; what meets is added up."""
    updates, nodes = site.input(1), site.nodes
    dtype = updates.tensor.dtype
    zeros = nodes.op("Expand", nodes.constant(0, dtype), site.int64(2))
    reduction = None if dtype == "bool" else "add"
    value = nodes.op("ScatterND", zeros, site.int64(0), updates.real(), reduction=reduction)
    site.write(value)


@converts("ONE_HOT")
def one_hot(site: Site) -> None:
    """ONE_HOT: a comparison with the numbers up to the depth; others, as -1, match none."""
    indices, nodes = site.input(0), site.nodes
    rank = indices.rank + 1
    axis = int(site.option("axis", -1)) % rank
    dtype = indices.tensor.dtype
    depth = site.ints(1)
    if depth is not None and depth[0] <= _MOST_CLASSES:
        numbers = nodes.constant(np.arange(depth[0]), dtype)
    else:
        end = nodes.cast(nodes.reshape(site.input(1).raw(), []), dtype)
        numbers = nodes.op("Range", nodes.constant(0, dtype), end, nodes.constant(1, dtype))
    numbers = nodes.unsqueeze(numbers, *range(1, rank - axis)) if axis < rank - 1 else numbers
    same = nodes.op("Equal", nodes.unsqueeze(indices.raw(), axis), numbers)
    on, off = site.input(2), site.input(3)
    raw = site.carries(on, off)
    site.bind(nodes.op("Where", same, on.read(raw=raw), off.read(raw=raw)), raw=raw)


@converts("WHERE")
def where(site: Site) -> None:
    """WHERE: NonZero, whose coordinates go down instead of across."""
    x, nodes = site.input(0), site.nodes
    places = nodes.op("Transpose", nodes.op("NonZero", x.raw()), perm=[1, 0])
    site.output().set_raw(places)


@converts("UNIQUE")
def unique(site: Site) -> None:
    """UNIQUE: Unique in the order of first appearance."""
    values = site.nodes.ops("Unique", 4, site.input(0).raw(), sorted=0)
    site.output().set_raw(values[0])
    index = site.output(1)
    index.set_raw(site.nodes.cast(values[2], index.tensor.dtype))


@converts("TOPK_V2")
def top_k(site: Site) -> None:
    """TOPK_V2: TopK along the last dimension."""
    x, nodes = site.input(0), site.nodes
    raw = site.carries(x)
    count = site.int64(1)
    count = nodes.reshape(count, [1]) if site.input(1).rank != 1 else count
    values, places = nodes.ops("TopK", 2, x.read(raw=raw), count, axis=-1)
    site.bind(values, raw=raw)
    index = site.output(1)
    index.set_raw(nodes.cast(places, index.tensor.dtype))


@converts("ARG_MAX", "ARG_MIN")
def arg_max(site: Site) -> None:
    """ARG_MAX and ARG_MIN: the first of the largest, or smallest."""
    x, y, nodes = site.input(0), site.output(), site.nodes
    axis = site.fixed_ints(1, "its dimension")[0]
    name = "ArgMax" if site.code == "ARG_MAX" else "ArgMin"
    value = x.real()
    if x.tensor.dtype == "bool":
        value = nodes.cast(value, "int32")
    y.set_raw(nodes.cast(nodes.op(name, value, axis=axis, keepdims=0), y.tensor.dtype))


@converts("CUMSUM")
def cumsum(site: Site) -> None:
    """CUMSUM: CumSum."""
    axis = site.fixed_ints(1, "its dimension")[0]
    value = site.nodes.op(
        "CumSum",
        site.input(0).real(),
        site.nodes.constant(axis, "int64"),
        exclusive=int(site.option("exclusive")) or None,
        reverse=int(site.option("reverse")) or None,
    )
    site.write(value)


_SEGMENTS: Mapping[str, str] = {
    "UNSORTED_SEGMENT_SUM": "add", "UNSORTED_SEGMENT_PROD": "mul",
    "UNSORTED_SEGMENT_MAX": "max", "UNSORTED_SEGMENT_MIN": "min",
}  # fmt: skip


@converts(*_SEGMENTS)
def unsorted_segment(site: Site) -> None:
    """UNSORTED_SEGMENT_SUM and its like: ScatterND into what leaves a number as it is."""
    _segments(site, site.nodes.reshape(site.int64(2), [1]), _SEGMENTS[site.code])


@converts("SEGMENT_SUM")
def segment_sum(site: Site) -> None:
    """SEGMENT_SUM: as many segments as the largest number says."""
    largest = site.nodes.op("ReduceMax", site.int64(1), keepdims=0)
    one = site.nodes.constant(1, "int64")
    _segments(site, site.nodes.reshape(site.nodes.op("Add", largest, one), [1]), "add")


def _segments(site: Site, count: ir.Value, reduction: str) -> None:
    x, ids, nodes = site.input(0), site.input(1), site.nodes
    dtype = x.tensor.dtype
    value = x.real()
    rest = nodes.op("Shape", value, start=ids.rank)
    shape = nodes.op("Concat", count, rest, axis=0)
    start = nodes.constant(_neutral(reduction, dtype), dtype)
    data = nodes.op("Expand", start, shape)
    places = nodes.unsqueeze(site.int64(1), -1)
    site.write(nodes.op("ScatterND", data, places, value, reduction=reduction))


def _neutral(reduction: str, dtype: str) -> float | int:
    if reduction in ("add", "mul"):
        return int(reduction == "mul")
    if np.issubdtype(np.dtype(dtype), np.floating):
        limits = np.finfo(dtype)
        return float(limits.min if reduction == "max" else limits.max)
    bounds = np.iinfo(dtype)
    return int(bounds.min if reduction == "max" else bounds.max)
