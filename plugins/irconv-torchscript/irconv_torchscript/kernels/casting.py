"""Conversion to dtypes of 8 bits and fewer (ONNX section Cast)."""

import math

import torch
from torch import Tensor

__all__ = ["to_float4", "to_float8", "to_narrow", "to_scale"]


def to_narrow(x: Tensor, bits: int, signed: bool) -> Tensor:
    """Return the lowest bits of integers, as signed or unsigned numbers."""
    x = torch.bitwise_and(x, (1 << bits) - 1)
    if signed:
        half = 1 << (bits - 1)
        x = torch.bitwise_xor(x, half) - half
    return x


def to_float8(
    x: Tensor, dtype: torch.dtype, saturate: bool, largest: float, no_infinity: bool
) -> Tensor:
    """Return float8 numbers; out of range they are the largest one, else infinite or NaN."""
    x = x.to(torch.float32)
    if saturate:
        limited = torch.clamp(x, -largest, largest)
        if no_infinity:
            limited = torch.where(torch.isinf(x), torch.sign(x) * largest, limited)
        return torch.where(torch.isnan(x), x, limited).to(dtype)
    if dtype == torch.float8_e4m3fn:
        step = 16.0
        x = torch.where(torch.abs(x) > largest + step, torch.full_like(x, math.nan), x)
    return x.to(dtype)


def to_float4(x: Tensor) -> Tensor:
    """Round to the values of float4_e2m1fn, halves to the even mantissa; the largest is 6."""
    x = x.to(torch.float32)
    size = torch.clamp(torch.abs(x), max=6.0)
    small = torch.round(size * 2.0) / 2.0
    middle = torch.round(size)
    large = torch.round(size / 2.0) * 2.0
    value = torch.where(size < 2.0, small, torch.where(size < 4.0, middle, large))
    value = torch.where(torch.isnan(x), torch.zeros_like(x), value)
    return torch.copysign(value, x)


def to_scale(x: Tensor, mode: str, saturate: bool) -> Tensor:
    """Round to powers of two (float8_e8m0fnu)."""
    x = x.to(torch.float32)
    bits = torch.view_copy(x, dtype=torch.int32).to(torch.int64)
    exponent = torch.bitwise_and(torch.bitwise_right_shift(bits, 23), 255)
    mantissa = torch.bitwise_and(bits, 8388607)
    if mode == "up":
        exponent = exponent + (mantissa > 0).to(torch.int64)
    elif mode == "nearest":
        exponent = exponent + (mantissa >= 4194304).to(torch.int64)
    limit = 254 if saturate else 255
    exponent = torch.clamp(exponent, 0, limit)
    exponent = torch.where(torch.isnan(x), torch.full_like(exponent, 255), exponent)
    return torch.view_copy(exponent.to(torch.uint8), dtype=torch.float8_e8m0fnu)
