"""DeformConv as samples between pixels, weighted by one matrix product."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.expression import Expr
from irconv.passes.decompose.interpolation import Tap, linear_taps
from irconv.passes.decompose.sampling import sample
from irconv.passes.decompose.site import Site

__all__ = ["deform_conv"]


def deform_conv(site: Site) -> ir.Value:
    """ONNX DeformConv (since 19) on images; what lies outside counts as zero."""
    data, weight = site.input(0), site.input(1)
    if site.rank(data) != 4:
        raise Keep("its input is no batch of images")
    batch, channels, height, width = site.static(data)
    filters, _, *kernel = site.static(weight)
    kernel = site.attribute("kernel_shape", list(kernel))
    groups, offset_groups = site.attribute("group", 1), site.attribute("offset_group", 1)
    items = kernel[0] * kernel[1]
    goal = site.static(site.input(2))[2:]
    each = channels // offset_groups
    taps = _taps(site, kernel, (batch, offset_groups, items, *goal))
    split = site.reshape(data, [batch * offset_groups, each, height * width])
    rows = site.reshape(site.transpose(split, [0, 2, 1]), [-1, each])
    images = np.arange(batch * offset_groups, dtype=np.int64) * (height * width)
    first = site.constant(images.reshape(batch, offset_groups, 1, 1, 1))
    terms = sample(site, rows, first, taps, [height, width], lambda x, _: x, zeros=True)
    total = terms[0]
    for term in terms[1:]:
        total = site.op("Add", total, term)
    mask = site.maybe(4)
    if mask is not None:
        factor = site.reshape(mask, [batch, offset_groups, items, *goal, 1])
        total = site.op("Mul", total, factor)
    columns = site.transpose(total, [0, 1, 5, 2, 3, 4])
    depth = channels // groups * items
    columns = site.reshape(columns, [batch, groups, depth, goal[0] * goal[1]])
    matrix = site.reshape(weight, [1, groups, filters // groups, depth])
    result = site.reshape(site.op("MatMul", matrix, columns), [batch, filters, *goal])
    bias = site.maybe(3)
    return result if bias is None else site.op("Add", result, site.along(bias, 1, 4))


def _taps(site: Site, kernel: list[int], shape: tuple[int, ...]) -> list[list[Tap]]:
    """Return the taps along both axes, each of ``shape``."""
    batch, offset_groups, items, *goal = shape
    offsets = site.reshape(site.input(2), [batch, offset_groups, items, 2, *goal])
    strides = site.attribute("strides", [1, 1])
    pads = site.attribute("pads", [0] * 4)
    dilations = site.attribute("dilations", [1, 1])
    places = np.indices(kernel).reshape(2, items)
    taps: list[list[Tap]] = []
    for axis in range(2):
        start = np.arange(goal[axis]) * strides[axis] - pads[axis]
        laid = start.reshape([-1, 1] if axis == 0 else [1, -1])
        base = (places[axis] * dilations[axis])[:, None, None] + laid[None]
        own = site.op("Gather", offsets, site.scalar(axis, ir.DataType.INT64), axis=3)
        position = Expr(site, site.cast(own, ir.DataType.FLOAT)) + base.astype(np.float64)
        taps.append(linear_taps(position))
    return taps
