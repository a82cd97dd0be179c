"""Elementwise operators that torch has in another form."""

import math

import torch
from torch import Tensor

__all__ = ["bit_shift", "clip", "power"]


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """Return the power in the dtype of the base (ONNX section Pow)."""
    if not base.is_floating_point() and exponent.is_floating_point():
        return torch.pow(base.to(torch.float64), exponent).to(base.dtype)
    if base.is_floating_point():
        return torch.pow(base, exponent.to(base.dtype))
    negative = torch.pow(base.to(torch.float64), exponent).to(base.dtype)
    whole = torch.pow(base, torch.clamp(exponent, min=0)).to(base.dtype)
    return torch.where(exponent < 0, negative, whole)


def clip(x: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    """Return values within bounds; the upper one wins (ONNX section Clip)."""
    if low is not None:
        x = torch.where(torch.isnan(x), x, torch.maximum(x, low))
    if high is not None:
        x = torch.where(torch.isnan(x), x, torch.minimum(x, high))
    return x


def bit_shift(x: Tensor, y: Tensor, width: int, left: bool) -> Tensor:
    """Shift integers of ``width`` bits; y below 0, or the width or more, moves all bits out."""
    amount = torch.clamp(y.to(torch.int64), 0, 63)
    wide = x.to(torch.int64)
    if left:
        shifted = torch.bitwise_left_shift(wide, amount)
        gone = torch.logical_or(y < 0, y >= width)
        return torch.where(gone, torch.zeros_like(wide), shifted)
    far = torch.where(y < 0, torch.full_like(amount, width - 1), amount)
    return torch.bitwise_right_shift(wide, torch.clamp(far, 0, width - 1))


def logical_shift(x: Tensor, y: Tensor) -> Tensor:
    """Shift uint64 in int64 to the right; zeros come in."""
    amount = torch.clamp(y, 0, 63)
    mask = torch.bitwise_left_shift(torch.ones_like(x), torch.clamp(64 - amount, 1, 63)) - 1
    shifted = torch.bitwise_and(torch.bitwise_right_shift(x, amount), mask)
    shifted = torch.where(amount == 0, x, shifted)
    gone = torch.logical_or(y < 0, y >= 64)
    return torch.where(gone, torch.zeros_like(x), shifted)


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """Section ThresholdedRelu."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


def leaky(x: Tensor, slope: Tensor) -> Tensor:
    """Section PRelu."""
    return torch.where(x < 0, x * slope, x)


def shrink(x: Tensor, bias: float, lambd: float) -> Tensor:
    """Section Shrink."""
    zero = torch.zeros_like(x)
    low = torch.where(x < -lambd, x + bias, zero)
    return torch.where(x > lambd, x - bias, low).to(x.dtype)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    """Section Selu."""
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


def celu(x: Tensor, alpha: float) -> Tensor:
    """Section Celu."""
    return torch.clamp(x, min=0) + torch.clamp(alpha * torch.expm1(x / alpha), max=0)


def elu(x: Tensor, alpha: float) -> Tensor:
    """Section Elu."""
    return torch.where(x > 0, x, alpha * torch.expm1(x))


def softplus(x: Tensor) -> Tensor:
    """Section Softplus, without overflow."""
    return torch.clamp(x, min=0) + torch.log1p(torch.exp(-torch.abs(x)))


def is_inf(x: Tensor, negative: bool, positive: bool) -> Tensor:
    """Section IsInf."""
    found = torch.zeros_like(x, dtype=torch.bool)
    if positive:
        found = torch.logical_or(found, x == math.inf)
    if negative:
        found = torch.logical_or(found, x == -math.inf)
    return found


def sign(x: Tensor) -> Tensor:
    """Section Sign; NaN stays NaN."""
    return torch.where(torch.isnan(x), x, torch.sign(x))
