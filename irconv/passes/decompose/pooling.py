"""Pooling operators: sums over windows, and gathers of windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site
from irconv.passes.decompose.windows import Windows, read_windows, window_sum, window_table

__all__ = ["average_pool", "global_pool", "lp_pool", "max_pool"]

_MOST_ITEMS = 1 << 22


def lp_pool(site: Site) -> ir.Value:
    """ONNX LpPool (since 1, as of 22): ``sum(|x|^p)^(1/p)`` over each window."""
    windows = read_windows(site)
    p = float(site.attribute("p", 2))
    total = window_sum(site, _power(site, site.input(0), p), windows)
    return _root(site, total, p)


def _power(site: Site, data: ir.Value, p: float) -> ir.Value:
    if p == 2:
        return site.op("Mul", data, data)
    size = site.op("Abs", data)
    return size if p == 1 else site.op("Pow", size, p)


def _root(site: Site, total: ir.Value, p: float) -> ir.Value:
    if p == 1:
        return total
    return site.op("Sqrt", total) if p == 2 else site.op("Pow", total, 1 / p)


def average_pool(site: Site) -> ir.Value:
    """ONNX AveragePool (since 1, as of 22): the sum over each window by what it counts."""
    windows = read_windows(site)
    data = site.input(0)
    if _is_global(windows):
        return site.op("ReduceMean", data, list(range(2, site.rank(data))))
    total = window_sum(site, data, windows)
    counted = _counted(windows, include_pads=bool(site.attribute("count_include_pad", 0)))
    return site.op("Div", total, counted.astype(site.dtype(data).numpy()))


def _is_global(windows: Windows) -> bool:
    """Return whether the only window is the whole of the data."""
    return (
        list(windows.kernel) == list(windows.sizes)
        and all(count == 1 for count in windows.counts)
        and not any(windows.pads)
        and all(step == 1 for step in windows.dilations)
    )


def _counted(windows: Windows, *, include_pads: bool) -> npt.NDArray[Any]:
    """Return how many items each window averages over, [1, 1, …]."""
    rank = len(windows.sizes)
    result = np.ones((1, 1, *[1] * rank))
    for axis in range(rank):
        low, high = 0, windows.sizes[axis]
        if include_pads:
            low, high = -windows.pads[axis], high + windows.pads[rank + axis]
        starts = np.arange(windows.counts[axis]) * windows.strides[axis] - windows.pads[axis]
        items = starts[:, None] + np.arange(windows.kernel[axis]) * windows.dilations[axis]
        number = ((items >= low) & (items < high)).sum(axis=1)
        shape = [1] * (2 + rank)
        shape[2 + axis] = -1
        result = result * number.reshape(shape)
    return result


def max_pool(site: Site) -> Sequence[ir.Value | None]:
    """ONNX MaxPool (since 1, as of 22): the largest of each window's gathered items.

    Positions are those of the first largest item, counted in the whole tensor.
    """
    windows = read_windows(site)
    data = site.input(0)
    items_in_all = math.prod(windows.counts) * math.prod(windows.kernel)
    if items_in_all > _MOST_ITEMS:
        raise Keep(f"its windows have {items_in_all} items, more than are gathered")
    table = window_table(windows)
    batch, channels = site.sizes(data)[:2]
    area = int(np.prod(windows.sizes))
    flat = site.reshape(data, [batch, channels, area])
    padded = flat
    if (table < 0).any():
        padded = site.op("Pad", flat, [0, 0, 0, 0, 0, 1], site.scalar(_lowest(site), _dtype(site)))
    items = site.op("Gather", padded, np.where(table < 0, area, table), axis=2)
    goal = [batch, channels, *windows.counts]
    best = site.reshape(site.op("ReduceMax", items, [3], keepdims=0), goal)
    if not site.wants(1):
        return [best, None]
    places = table if not site.attribute("storage_order", 0) else _by_columns(windows, table)
    first = site.op("ArgMax", items, axis=3, keepdims=0)
    row = np.arange(len(table), dtype=np.int64) * table.shape[1]
    inside = site.op("Gather", places.reshape(-1), site.op("Add", first, row), axis=0)
    image = site.reshape(site.count(site.product([batch, channels])), [batch, channels, 1])
    position = site.op("Add", inside, site.op("Mul", image, area))
    return [best, site.reshape(position, goal)]


def _dtype(site: Site) -> ir.DataType:
    return site.dtype(site.input(0))


def _lowest(site: Site) -> float:
    dtype = _dtype(site)
    return int(np.iinfo(dtype.numpy()).min) if dtype.is_integer() else -np.inf


def _by_columns(windows: Windows, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return positions counted with the first axis fastest."""
    places = np.unravel_index(np.maximum(table, 0), tuple(windows.sizes))
    return np.asarray(np.ravel_multi_index(places, tuple(windows.sizes), order="F"), np.int64)


def global_pool(site: Site) -> ir.Value:
    """ONNX GlobalAveragePool, GlobalMaxPool (since 1) and GlobalLpPool (since 2)."""
    data = site.input(0)
    axes = list(range(2, site.rank(data)))
    if site.node.op_type == "GlobalAveragePool":
        return site.op("ReduceMean", data, axes)
    if site.node.op_type == "GlobalMaxPool":
        return site.op("ReduceMax", data, axes)
    p = float(site.attribute("p", 2))
    return _root(site, site.op("ReduceSum", _power(site, data, p), axes), p)
