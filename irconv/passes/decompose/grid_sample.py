"""GridSample as weighted sums of gathers."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Dim
from irconv.passes.decompose.expression import (
    Expr,
    Number,
    absolute,
    between,
    clip,
    floor,
    number_of,
    round_even,
    select,
)
from irconv.passes.decompose.interpolation import Tap, cubic_taps, linear_taps
from irconv.passes.decompose.sampling import channel_rows, first_rows, sample
from irconv.passes.decompose.site import Site

__all__ = ["grid_sample"]

_FLOAT = ir.DataType.FLOAT
_A = -0.75


def grid_sample(site: Site) -> ir.Value:
    """ONNX GridSample (since 16, as of 20): any rank, mode and padding."""
    data, grid = site.input(0), site.input(1)
    mode = site.attribute("mode", "linear")
    padding = site.attribute("padding_mode", "zeros")
    sizes = site.sizes(data)
    places = sizes[2:]
    rank = len(places)
    grid = site.cast(grid, _FLOAT)
    taps = []
    for axis in range(rank):
        item = site.op("Gather", grid, site.scalar(rank - 1 - axis, ir.DataType.INT64), axis=-1)
        x = _position(site, Expr(site, item), places[axis], nearest=mode == "nearest")
        x = _padded(site, x, places[axis], padding)
        taps.append(_taps(x, mode))

    def place(position: Number, axis: int) -> Number:
        return _reflected(site, position, places[axis]) if padding == "reflection" else position

    first = first_rows(site, sizes[0], places, rank + 1)
    rows = channel_rows(site, data)
    terms = sample(site, rows, first, taps, places, place, zeros=padding == "zeros")
    total = terms[0]
    for term in terms[1:]:
        total = site.op("Add", total, term)
    return site.transpose(total, [0, rank + 1, *range(1, rank + 1)])


def _taps(x: Number, mode: str) -> list[Tap]:
    if mode == "nearest":
        return [Tap(x, 1.0)]
    return cubic_taps(x, _A) if mode in ("cubic", "bicubic") else linear_taps(x)


def _position(site: Site, x: Number, size: Dim, *, nearest: bool) -> Number:
    """Return a coordinate of -1 to 1 as a position along an axis."""
    length = number_of(site, size)
    if site.attribute("align_corners", 0):
        found = (x + 1.0) / 2.0 * (length - 1.0)
    else:
        found = ((x + 1.0) * length - 1.0) / 2.0
    return round_even(found) if nearest else found


def _padded(site: Site, x: Number, size: Dim, padding: str) -> Number:
    if padding == "border":
        return clip(x, 0.0, number_of(site, size) - 1.0)
    return _reflected(site, x, size) if padding == "reflection" else x


def _reflected(site: Site, x: Number, size: Dim) -> Number:
    """Return a position mirrored at both borders until it lies between them."""
    length = number_of(site, size)
    aligned = bool(site.attribute("align_corners", 0))
    low = 0.0 if aligned else -0.5
    span = length - 1.0 if aligned else length
    if aligned:
        span = clip(span, 0.5, span)
    distance = absolute(x - low)
    turn = distance - floor(distance / (span * 2.0)) * (span * 2.0)
    return select(between(turn, 0.0, span), turn, span * 2.0 - turn) + low
