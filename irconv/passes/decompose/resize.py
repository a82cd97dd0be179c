"""Resize, one axis after the other, as weighted sums of Gather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.expression import Expr, Number, between, clip, number_of, value_of
from irconv.passes.decompose.interpolation import (
    Tap,
    antialias_taps,
    cubic_taps,
    linear_taps,
    nearest_position,
)
from irconv.passes.decompose.resize_geometry import AxisPlan, plan_axes
from irconv.passes.decompose.site import Site

__all__ = ["resize"]

_FLOATS = (
    ir.DataType.FLOAT,
    ir.DataType.FLOAT16,
    ir.DataType.DOUBLE,
    ir.DataType.BFLOAT16,
)


def resize(site: Site) -> ir.Value:
    """ONNX Resize (since 10, as of 18): every mode, transformation, policy, and roi.

    Scales and sizes may be computed; where the kernel is widened against aliasing, the number
    of terms depends on the scale, which must then be constant.
    """
    data = site.input(0)
    nearest = site.attribute("mode", "nearest") == "nearest"
    if not nearest and site.dtype(data) not in _FLOATS:
        raise Keep(f"it interpolates between {site.dtype(data).name.lower()} numbers")
    for plan in plan_axes(site):
        data = _along(site, data, plan, nearest)
    return data


def _along(site: Site, data: ir.Value, plan: AxisPlan, nearest: bool) -> ir.Value:
    """Resize one axis."""
    last = number_of(site, plan.size) - 1.0
    rank = site.rank(data)
    if nearest:
        mode = site.attribute("nearest_mode", "round_prefer_floor")
        result = _pick(site, data, nearest_position(plan.position, mode), last, plan.axis)
    else:
        result = _sum(site, data, _taps(site, plan), last, plan.axis)
    if plan.cropped:
        value = site.attribute("extrapolation_value", 0.0)
        inside = between(plan.position, 0.0, last)
        mask = site.along(value_of(site, inside), plan.axis, rank)
        result = site.op("Where", mask, result, site.scalar(value, site.dtype(data)))
    return result


def _taps(site: Site, plan: AxisPlan) -> list[Tap]:
    cubic = site.attribute("mode", "nearest") == "cubic"
    a = site.attribute("cubic_coeff_a", -0.75)
    if site.attribute("antialias", 0):
        if isinstance(plan.scale, Expr) or isinstance(plan.position, Expr):
            raise Keep("its scale is computed, and it filters against aliasing")
        if np.asarray(plan.scale) < 1:
            position, scale = np.asarray(plan.position), float(np.asarray(plan.scale))
            return antialias_taps(position, scale, a if cubic else None)
    taps = cubic_taps(plan.position, a) if cubic else linear_taps(plan.position)
    return _excluding(site, taps, plan) if site.attribute("exclude_outside", 0) else taps


def _excluding(site: Site, taps: Sequence[Tap], plan: AxisPlan) -> list[Tap]:
    """Give no weight to what lies outside, and the rest weights that add up to 1."""
    last = number_of(site, plan.size) - 1.0
    inside = [between(tap.position, 0.0, last) for tap in taps]
    weights = [_masked(site, keep, tap.weight) for keep, tap in zip(inside, taps, strict=True)]
    total = weights[0]
    for weight in weights[1:]:
        total = total + weight
    return [Tap(tap.position, weight / total) for tap, weight in zip(taps, weights, strict=True)]


def _masked(site: Site, keep: Number, weight: Number) -> Number:
    if isinstance(keep, Expr):
        return Expr(site, site.cast(keep.value, ir.DataType.FLOAT)) * weight
    return weight * np.asarray(keep, np.float64)


def _pick(site: Site, data: ir.Value, position: Number, last: Number, axis: int) -> ir.Value:
    index = value_of(site, clip(position, 0.0, last), ir.DataType.INT64)
    return site.op("Gather", data, index, axis=axis)


def _sum(site: Site, data: ir.Value, taps: Sequence[Tap], last: Number, axis: int) -> ir.Value:
    total: ir.Value | None = None
    for tap in taps:
        if not isinstance(tap.weight, Expr) and not np.any(tap.weight):
            continue
        weight = value_of(site, tap.weight, site.dtype(data))
        term = site.op(
            "Mul",
            _pick(site, data, tap.position, last, axis),
            site.along(weight, axis, site.rank(data)),
        )
        total = term if total is None else site.op("Add", total, term)
    assert total is not None
    return total
