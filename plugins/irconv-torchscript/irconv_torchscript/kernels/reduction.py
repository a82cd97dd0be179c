"""Reductions (ONNX sections ReduceL1 to ReduceSumSquare, ArgMax, CumSum, TopK, Unique)."""

import math

import torch
from torch import Tensor

__all__ = [
    "arg_extremum",
    "global_lp",
    "hardmax",
    "over_space",
    "reduce",
    "running",
    "top_k",
    "unique_slices",
    "unique_values",
]


def reduce(x: Tensor, kind: str, axes: list[int], keep: bool, noop: bool) -> Tensor:
    """Reduce over axes; over all where none are given, or over none with ``noop``."""
    wanted = [axis + x.dim() if axis < 0 else axis for axis in axes]
    if len(wanted) == 0 and not noop:
        wanted = list(range(x.dim()))
    if kind == "Max" or kind == "Min":
        return _extremum(x, wanted, keep, kind == "Max")
    if kind == "Prod":
        return _product(x, wanted, keep)
    if kind == "Mean":
        return _mean(x, wanted, keep)
    if kind == "LogSumExp":
        return _log_sum_exp(x, wanted, keep)
    if kind == "L1":
        return _sum(torch.abs(x), wanted, keep)
    if kind == "L2":
        wide = x if x.is_floating_point() else x.to(torch.float64)
        return torch.sqrt(_sum(wide * wide, wanted, keep)).to(x.dtype)
    if kind == "SumSquare":
        return _sum(x * x, wanted, keep)
    if kind == "LogSum":
        wide = x if x.is_floating_point() else x.to(torch.float64)
        return torch.log(_sum(wide, wanted, keep)).to(x.dtype)
    return _sum(x, wanted, keep)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if len(axes) == 0:
        return x
    return torch.sum(x, axes, keep, dtype=x.dtype)


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if len(axes) == 0:
        return x
    if x.is_floating_point():
        return torch.mean(x, axes, keep)
    count = 1
    for axis in axes:
        count *= x.size(axis)
    return torch.div(torch.sum(x, axes, keep), count, rounding_mode="trunc").to(x.dtype)


def _log_sum_exp(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if len(axes) == 0:
        return x
    wide = x if x.is_floating_point() else x.to(torch.float64)
    return torch.logsumexp(wide, axes, keep).to(x.dtype)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in axes:
        x = torch.prod(x, axis, True, dtype=x.dtype)
    return x if keep else _without(x, axes)


def _extremum(x: Tensor, axes: list[int], keep: bool, largest: bool) -> Tensor:
    if len(axes) == 0:
        return x
    empty = False
    for axis in axes:
        empty = empty or x.size(axis) == 0
    if not empty:
        return torch.amax(x, axes, keep) if largest else torch.amin(x, axes, keep)
    shape: list[int] = []
    for axis, size in enumerate(x.shape):
        shape.append(1 if axis in axes else size)
    limit = -math.inf if largest else math.inf
    if x.dtype == torch.bool:
        result = torch.full(shape, not largest, dtype=x.dtype)
    elif x.is_floating_point():
        result = torch.full(shape, limit, dtype=x.dtype)
    else:
        result = torch.full(shape, _integer_limit(x.dtype, largest), dtype=x.dtype)
    return result if keep else _without(result, axes)


def _integer_limit(dtype: torch.dtype, lowest: bool) -> int:
    if dtype == torch.uint8:
        return 0 if lowest else 255
    bits = 63
    if dtype == torch.int32:
        bits = 31
    elif dtype == torch.int16:
        bits = 15
    elif dtype == torch.int8:
        bits = 7
    if bits == 63:
        return -9223372036854775807 - 1 if lowest else 9223372036854775807
    return -(1 << bits) if lowest else (1 << bits) - 1


def _without(x: Tensor, axes: list[int]) -> Tensor:
    shape: list[int] = []
    for axis, size in enumerate(x.shape):
        if axis not in axes:
            shape.append(size)
    return x.reshape(shape)


def over_space(x: Tensor, kind: str) -> Tensor:
    """Reduce over all axes after the second."""
    return reduce(x, kind, list(range(2, x.dim())), True, True)


def global_lp(x: Tensor, p: float) -> Tensor:
    """Section GlobalLpPool."""
    powers = torch.pow(torch.abs(x), p)
    return torch.pow(_sum(powers, list(range(2, x.dim())), True), 1.0 / p)


def arg_extremum(x: Tensor, axis: int, keep: bool, last: bool, largest: bool) -> Tensor:
    """Sections ArgMax, ArgMin."""
    if last:
        x = torch.flip(x, [axis])
    found = torch.argmax(x, axis, keep) if largest else torch.argmin(x, axis, keep)
    return x.size(axis) - 1 - found if last else found


def running(x: Tensor, axis: int, exclusive: bool, reverse: bool, product: bool) -> Tensor:
    """Sections CumSum, CumProd."""
    if reverse:
        x = torch.flip(x, [axis])
    if exclusive:
        first = (
            torch.ones_like(x.narrow(axis, 0, 1))
            if product
            else (torch.zeros_like(x.narrow(axis, 0, 1)))
        )
        x = torch.cat([first, x.narrow(axis, 0, x.size(axis) - 1)], axis)
    total = (
        torch.cumprod(x, axis, dtype=x.dtype) if product else (torch.cumsum(x, axis, dtype=x.dtype))
    )
    return torch.flip(total, [axis]) if reverse else total


def top_k(x: Tensor, k: int, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    """Section TopK."""
    values, positions = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), positions.narrow(axis, 0, k)


def hardmax(x: Tensor, axis: int) -> Tensor:
    """Section Hardmax."""
    return torch.zeros_like(x).scatter(axis, torch.argmax(x, axis, True), 1.0)


def unique_values(x: Tensor, ordered: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Section Unique without an axis."""
    flat = x.reshape([-1])
    values, inverse, counts = torch.unique(
        flat, sorted=True, return_inverse=True, return_counts=True
    )
    return _in_order(values, inverse, counts, 0, ordered)


def unique_slices(x: Tensor, axis: int, ordered: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Section Unique along an axis."""
    values, inverse, counts = torch.unique(
        x, sorted=True, return_inverse=True, return_counts=True, dim=axis
    )
    return _in_order(values, inverse, counts, axis, ordered)


def _in_order(
    values: Tensor, inverse: Tensor, counts: Tensor, axis: int, ordered: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find first positions; where not ordered, sort by them."""
    size = inverse.size(0)
    first = torch.full_like(counts, size)
    first = first.scatter_reduce(0, inverse, torch.arange(size), "amin", include_self=True)
    if ordered:
        return values, first, inverse, counts
    order = torch.argsort(first)
    place = torch.argsort(order)
    return (
        values.index_select(axis, order),
        first.index_select(0, order),
        place.index_select(0, inverse),
        counts.index_select(0, order),
    )
