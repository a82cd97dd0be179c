"""uint64 in int64: the same bits, another order, another quotient."""

import torch
from torch import Tensor

__all__ = ["divide", "flip", "from_float", "remainder", "to_float"]


def flip(x: Tensor) -> Tensor:
    """Map unsigned order to signed order and back, by the highest bit."""
    return x + (-9223372036854775807 - 1)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """Return the unsigned quotient.

    Half of the dividend fits a signed number; the quotient of it, doubled, is off by at most
    one (Hacker's Delight, section 9-3).
    """
    a, b = torch.broadcast_tensors(a, b)
    half = torch.bitwise_and(torch.bitwise_right_shift(a, 1), 9223372036854775807)
    positive = torch.where(b > 0, b, torch.ones_like(b))
    quotient = torch.div(half, positive, rounding_mode="trunc") * 2
    rest = a - quotient * positive
    quotient = quotient + (flip(rest) >= flip(positive)).to(torch.int64)
    large = (flip(a) >= flip(b)).to(torch.int64)
    return torch.where(b > 0, quotient, large)


def remainder(a: Tensor, b: Tensor) -> Tensor:
    """Return what the unsigned quotient leaves."""
    return a - divide(a, b) * b


def to_float(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return unsigned numbers as floating-point numbers."""
    odd = torch.bitwise_or(
        torch.bitwise_and(torch.bitwise_right_shift(x, 1), 9223372036854775807),
        torch.bitwise_and(x, 1),
    )
    return torch.where(x < 0, odd.to(dtype) * 2, x.to(dtype))


def from_float(x: Tensor) -> Tensor:
    """Return floating-point numbers as unsigned ones, without their fractions."""
    wide = x.to(torch.float64)
    high = (wide - 9223372036854775808.0).to(torch.int64)
    return torch.where(wide >= 9223372036854775808.0, flip(high), wide.to(torch.int64))
