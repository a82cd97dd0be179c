"""Products and convolutions of integers, computed in float32.

A product of two 8-bit numbers less their zero points is below 2^16 in magnitude, so float32 adds
up to 256 of them without rounding; longer sums are rounded as any float32 sum is.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.quantization import quantized
from irconv.passes.decompose.site import Site

__all__ = ["conv_integer", "mat_mul_integer", "q_linear_conv", "q_linear_mat_mul"]

_FLOAT = ir.DataType.FLOAT
_BYTES = (ir.DataType.INT8, ir.DataType.UINT8)
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _less_zero_point(
    site: Site, value: ir.Value, zero_point: ir.Value | None, axis: int
) -> ir.Value:
    """Return ``value`` less its zero point as float32; one of rank 1 lies along ``axis``."""
    if site.dtype(value) not in _BYTES:
        raise Keep(f"{site.dtype(value).name.lower()} is no 8-bit integer")
    result = site.cast(value, _FLOAT)
    if zero_point is None:
        return result
    shift = _laid(site, site.cast(zero_point, _FLOAT), axis, site.rank(value))
    return site.op("Sub", result, shift)


def _laid(site: Site, value: ir.Value, axis: int, rank: int) -> ir.Value:
    """Lay a value of rank 1 along ``axis``; one of another rank broadcasts as it is."""
    if site.rank(value) != 1:
        return value
    if site.dims(value)[0] == 1:
        return site.op("Squeeze", value, [0])
    return site.along(value, axis % rank, rank)


def _convolution(site: Site, data: ir.Value, weight: ir.Value) -> ir.Value:
    attributes: dict[str, Any] = {name: site.optional(name) for name in _CONV}
    return site.op("Conv", data, weight, **attributes)


def conv_integer(site: Site) -> ir.Value:
    """ONNX ConvInteger (since 10): padding is the zero point, so zero after subtraction."""
    data = _less_zero_point(site, site.input(0), site.maybe(2), 0)
    weight = _less_zero_point(site, site.input(1), site.maybe(3), 0)
    return site.cast(_convolution(site, data, weight), ir.DataType.INT32)


def mat_mul_integer(site: Site) -> ir.Value:
    """ONNX MatMulInteger (since 10): zero points per tensor, per row of A, per column of B."""
    left = _less_zero_point(site, site.input(0), site.maybe(2), -2)
    right = _less_zero_point(site, site.input(1), site.maybe(3), -1)
    return site.cast(site.op("MatMul", left, right), ir.DataType.INT32)


def q_linear_conv(site: Site) -> ir.Value:
    """ONNX QLinearConv (since 10): the bias counts in units of the product of both scales."""
    data = _less_zero_point(site, site.input(0), site.maybe(2), 0)
    weight = _less_zero_point(site, site.input(3), site.maybe(5), 0)
    total = _convolution(site, data, weight)
    rank = site.rank(site.input(0))
    bias = site.maybe(8)
    if bias is not None:
        total = site.op("Add", total, site.along(site.cast(bias, _FLOAT), 1, rank))
    scale = site.op("Mul", _laid(site, site.input(1), 0, 1), site.input(4))
    total = site.op("Mul", total, _laid(site, scale, 1, rank))
    return _requantized(site, total, site.input(6), site.input(7))


def q_linear_mat_mul(site: Site) -> ir.Value:
    """ONNX QLinearMatMul (since 10): scales per tensor, per row of A, per column of B."""
    left = _less_zero_point(site, site.input(0), site.maybe(2), -2)
    right = _less_zero_point(site, site.input(3), site.maybe(5), -1)
    left_scale = _laid(site, site.cast(site.input(1), _FLOAT), -2, max(site.rank(left), 2))
    right_scale = _laid(site, site.cast(site.input(4), _FLOAT), -1, max(site.rank(right), 2))
    total = site.op("Mul", site.op("MatMul", left, right), left_scale)
    return _requantized(site, site.op("Mul", total, right_scale), site.input(6), site.input(7))


def _requantized(site: Site, value: ir.Value, scale: ir.Value, zero_point: ir.Value) -> ir.Value:
    rank = site.rank(value)
    scale = _laid(site, site.cast(scale, _FLOAT), -2, rank)
    shift = _laid(site, zero_point, -2, rank)
    return quantized(site, value, scale, shift, site.dtype(zero_point))
