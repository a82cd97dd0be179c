"""Running sums and products along an axis.

With a static length n they take log2(n) steps, each of which adds the tensor shifted by 1, 2, 4,
… places (Hillis and Steele, 1986). With a dynamic one each output reduces a masked copy.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.flat_gather import wrapped
from irconv.passes.decompose.site import Site

__all__ = ["cum_prod", "cum_sum"]


def cum_sum(site: Site) -> ir.Value:
    """ONNX CumSum (since 11), with ``exclusive`` and ``reverse``."""
    return _running(site, "Add", "ReduceSum", 0)


def cum_prod(site: Site) -> ir.Value:
    """ONNX CumProd (since 26), with ``exclusive`` and ``reverse``."""
    return _running(site, "Mul", "ReduceProd", 1)


def _running(site: Site, combine: str, reduce: str, neutral: int) -> ir.Value:
    data = site.input(0)
    rank = site.rank(data)
    exclusive = bool(site.attribute("exclusive", 0))
    reverse = bool(site.attribute("reverse", 0))

    def along(axis: int) -> ir.Value:
        size = site.size(data, axis)
        if isinstance(size, int):
            return _doubling(site, data, axis, size, combine, neutral, exclusive, reverse)
        return _masked(site, data, axis, size, reduce, neutral, exclusive, reverse)

    if rank == 0:
        raise Keep("its input is a scalar")
    given = constant_ints(site.input(1))
    if given is None:
        return _along_computed_axis(site, rank, along)
    if not -rank <= given[0] < rank:
        raise Keep(f"its axis {given[0]} is outside of rank {rank}")
    return along(given[0] % rank)


def _along_computed_axis(site: Site, rank: int, along: Callable[[int], ir.Value]) -> ir.Value:
    """Compute along every axis and choose by the one that is given at run time."""
    axis = wrapped(site, site.op("Squeeze", site.input(1)), rank)
    result = along(0)
    for position in range(1, rank):
        result = site.op("Where", site.op("Equal", axis, position), along(position), result)
    return result


def _doubling(
    site: Site,
    data: ir.Value,
    axis: int,
    size: int,
    combine: str,
    neutral: int,
    exclusive: bool,
    reverse: bool,
) -> ir.Value:
    def part(value: ir.Value, start: int, end: int) -> ir.Value:
        return site.op("Slice", value, [start], [end], [axis])

    step = 1
    while step < size:
        low, high = part(data, 0, size - step), part(data, step, size)
        both = site.op(combine, high, low)
        rest = part(data, size - step, size) if reverse else part(data, 0, step)
        order = (both, rest) if reverse else (rest, both)
        data = site.op("Concat", *order, axis=axis)
        step *= 2
    if exclusive and size:
        kept = part(data, 1, size) if reverse else part(data, 0, size - 1)
        pads = [0, 1] if reverse else [1, 0]
        data = site.op("Pad", kept, pads, site.scalar(neutral, site.dtype(data)), [axis])
    return data


def _masked(
    site: Site,
    data: ir.Value,
    axis: int,
    size: ir.Value,
    reduce: str,
    neutral: int,
    exclusive: bool,
    reverse: bool,
) -> ir.Value:
    rank = site.rank(data)
    place = site.count(size)
    source = site.along(place, axis, rank + 1)
    goal = site.along(place, axis + 1, rank + 1)
    comparison = ("Greater" if reverse else "Less") + ("" if exclusive else "OrEqual")
    seen = site.op(comparison, source, goal)
    spread = site.op("Unsqueeze", data, [axis + 1])
    terms = site.op("Where", seen, spread, site.scalar(neutral, site.dtype(data)))
    return site.op(reduce, terms, [axis], keepdims=0)
