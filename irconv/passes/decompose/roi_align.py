"""RoiAlign as weighted sums of gathers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.passes.decompose.block import Dim, Keep
from irconv.passes.decompose.expression import (
    Expr,
    Number,
    between,
    both,
    clip,
    floor,
    number_of,
    select,
    value_of,
)
from irconv.passes.decompose.interpolation import Tap
from irconv.passes.decompose.sampling import channel_rows, sample
from irconv.passes.decompose.site import Site

__all__ = ["roi_align"]

_FLOAT = ir.DataType.FLOAT


def roi_align(site: Site) -> ir.Value:
    """ONNX RoiAlign (since 10, as of 16), with a ``sampling_ratio`` above 0."""
    data, rois = site.input(0), site.cast(site.input(1), _FLOAT)
    ratio = site.attribute("sampling_ratio", 0)
    if ratio <= 0:
        raise Keep("its sampling_ratio is 0, so the number of samples depends on the regions")
    height, width = site.attribute("output_height", 1), site.attribute("output_width", 1)
    sizes = site.sizes(data)
    rows, columns = (
        _positions(site, rois, axis, bins, ratio) for axis, bins in ((1, height), (0, width))
    )
    y = Expr(site, site.op("Unsqueeze", rows.value, [2]))
    x = Expr(site, site.op("Unsqueeze", columns.value, [1]))
    inside = both(_near(site, y, sizes[2]), _near(site, x, sizes[3]))
    taps = [_taps(site, y, sizes[2]), _taps(site, x, sizes[3])]
    image = site.op("Unsqueeze", site.cast(site.input(2), ir.DataType.INT64), [1, 2])
    first = site.op("Mul", image, site.vector([site.product(sizes[2:])]))
    terms = sample(
        site, channel_rows(site, data), first, taps, sizes[2:], lambda x, _: x, zeros=False
    )
    average = site.attribute("mode", "avg") == "avg"
    total = terms[0]
    for term in terms[1:]:
        total = site.op("Add" if average else "Max", total, term)
    mask = site.op("Unsqueeze", value_of(site, inside), [-1])
    total = site.op("Where", mask, total, site.scalar(0, site.dtype(data)))
    count = site.size(rois, 0)
    split = site.reshape(total, [count, height, ratio, width, ratio, sizes[1]])
    reduced = site.op("ReduceMean" if average else "ReduceMax", split, [2, 4], keepdims=0)
    return site.transpose(reduced, [0, 3, 1, 2])


def _positions(site: Site, rois: ir.Value, axis: int, bins: int, ratio: int) -> Expr:
    """Return where the samples of each region lie along one axis, as [regions, samples]."""
    half = site.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    scale = site.attribute("spatial_scale", 1.0)
    start, end = (_edge(site, rois, column, scale, half) for column in (axis, axis + 2))
    length: Number = end - start
    if not half:
        length = select(between(length, 1.0, length), length, 1.0)
    step = (np.arange(bins * ratio) + 0.5) / (ratio * bins)
    found = start + length * step[None, :]
    assert isinstance(found, Expr)
    return found


def _edge(site: Site, rois: ir.Value, column: int, scale: float, half: bool) -> Expr:
    item = site.op("Gather", rois, np.asarray([column], np.int64), axis=1)
    return Expr(site, item) * scale - (0.5 if half else 0.0)


def _near(site: Site, x: Number, size: Dim) -> Number:
    return between(x, -1.0, number_of(site, size))


def _taps(site: Site, x: Number, size: Dim) -> list[Tap]:
    """Return the two neighbours; beyond the last item there is only that one."""
    x = clip(x, 0.0, number_of(site, size) - 1.0)
    base = floor(x)
    part = x - base
    return [Tap(base, 1.0 - part), Tap(base + 1.0, part)]
