"""Normalizations by means, variances and norms."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.passes.decompose.site import Site

__all__ = ["batch_normalization", "instance_normalization", "local_response", "lp_normalization"]


def local_response(site: Site) -> ir.Value:
    """ONNX LRN (since 1): by the squares of the channels around; there is nothing at the ends."""
    data = site.input(0)
    size = site.attribute("size", 1)
    before, after = (size - 1) // 2, size // 2
    square = site.op("Mul", data, data)
    padded = site.op("Pad", square, [before, after], site.scalar(0, site.dtype(data)), [1])
    channels = site.vector([site.size(data, 1)])
    total: ir.Value | None = None
    for shift in range(size):
        ends = site.op("Add", channels, site.vector([shift]))
        part = site.op("Slice", padded, [shift], ends, [1])
        total = part if total is None else site.op("Add", total, part)
    assert total is not None
    scale = site.attribute("alpha", 0.0001) / size
    base = site.op("Add", site.op("Mul", total, scale), site.attribute("bias", 1.0))
    return site.op("Div", data, site.op("Pow", base, site.attribute("beta", 0.75)))


def lp_normalization(site: Site) -> ir.Value:
    """ONNX LpNormalization (since 1, as of 22): by the norm along an axis; 0 where that is 0."""
    data, axis = site.input(0), site.axis()
    if site.attribute("p", 2) == 1:
        norm = site.op("ReduceSum", site.op("Abs", data), [axis])
    else:
        norm = site.op("Sqrt", site.op("ReduceSum", site.op("Mul", data, data), [axis]))
    none = site.op("Equal", norm, 0.0)
    safe = site.op("Where", none, site.scalar(1, site.dtype(data)), norm)
    return site.op("Div", data, safe)


def _normalized(
    site: Site, mean: ir.Value, variance: ir.Value, scale: ir.Value, shift: ir.Value
) -> ir.Value:
    data = site.input(0)
    epsilon = site.attribute("epsilon", 1e-5)
    deviation = site.op("Sqrt", site.op("Add", variance, epsilon))
    dtype = site.dtype(data)
    unit = site.op("Div", site.op("Sub", data, site.cast(mean, dtype)), site.cast(deviation, dtype))
    rank = site.rank(data)
    scaled = site.op("Mul", unit, site.along(site.cast(scale, dtype), 1, rank))
    return site.op("Add", scaled, site.along(site.cast(shift, dtype), 1, rank))


def _moments(site: Site, axes: Sequence[int]) -> tuple[ir.Value, ir.Value]:
    data = site.input(0)
    mean = site.op("ReduceMean", data, axes)
    rest = site.op("Sub", data, mean)
    return mean, site.op("ReduceMean", site.op("Mul", rest, rest), axes)


def instance_normalization(site: Site) -> ir.Value:
    """ONNX InstanceNormalization (since 1): moments of each channel of each instance."""
    mean, variance = _moments(site, range(2, site.rank(site.input(0))))
    return _normalized(site, mean, variance, site.input(1), site.input(2))


def batch_normalization(site: Site) -> Sequence[ir.Value | None]:
    """ONNX BatchNormalization (since 1, as of 15), for inference and for training."""
    rank = site.rank(site.input(0))
    scale, shift, mean, variance = (site.input(index) for index in range(1, 5))
    if not site.attribute("training_mode", 0):
        laid = (site.along(mean, 1, rank), site.along(variance, 1, rank))
        return [_normalized(site, *laid, scale, shift)]
    axes = [axis for axis in range(rank) if axis != 1]
    moments = _moments(site, axes)
    momentum = site.attribute("momentum", 0.9)
    running: list[ir.Value] = []
    for old, new in zip((mean, variance), moments, strict=True):
        fresh = site.cast(site.op("Squeeze", new, axes), site.dtype(old))
        running.append(
            site.op("Add", site.op("Mul", old, momentum), site.op("Mul", fresh, 1 - momentum))
        )
    return [_normalized(site, *moments, scale, shift), *running]
