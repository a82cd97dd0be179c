"""Interpolation along one axis: where each output lies, and which inputs it is a sum of.

Weights of linear and cubic convolution interpolation: R. Keys, "Cubic convolution interpolation
for digital image processing", 1981.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irconv.passes.decompose.expression import Number, ceil, floor

__all__ = ["Tap", "antialias_taps", "cubic_taps", "linear_taps", "nearest_position"]


@dataclass(frozen=True)
class Tap:
    """One term of a weighted sum of inputs.

    Attributes:
        position: Position of the input, a whole number that may lie outside of the axis.
        weight: Its weight.
    """

    position: Number
    weight: Number


def nearest_position(x: Number, mode: str) -> Number:
    """Return the nearest input by ``nearest_mode`` of ONNX Resize."""
    if mode == "round_prefer_floor":
        return ceil(x - 0.5)
    if mode == "round_prefer_ceil":
        return floor(x + 0.5)
    return floor(x) if mode == "floor" else ceil(x)


def linear_taps(x: Number) -> list[Tap]:
    """Return the two neighbours of ``x``."""
    base = floor(x)
    ratio = x - base
    return [Tap(base, 1.0 - ratio), Tap(base + 1.0, ratio)]


def cubic_taps(x: Number, a: float) -> list[Tap]:
    """Return the four neighbours of ``x``; ``a`` is the coefficient of the cubic (-0.75, -0.5)."""
    base = floor(x)
    r = x - base
    rest = 1.0 - r
    return [
        Tap(base - 1.0, _outer(r + 1.0, a)),
        Tap(base, _inner(r, a)),
        Tap(base + 1.0, _inner(rest, a)),
        Tap(base + 2.0, _outer(rest + 1.0, a)),
    ]


def _inner(t: Number, a: float) -> Number:
    """Return the kernel at a distance of 0 to 1."""
    return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0


def _outer(t: Number, a: float) -> Number:
    """Return the kernel at a distance of 1 to 2."""
    return ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a


def antialias_taps(x: npt.NDArray[Any], scale: float, a: float | None) -> list[Tap]:
    """Return the taps of the kernel widened by ``1 / scale``, weights adding up to 1.

    Args:
        x: Where the outputs lie.
        scale: Output size by input size; below 1.
        a: Coefficient of the cubic; None for the linear kernel.
    """
    radius = 1 if a is None else 2
    start = int(np.floor(-radius / scale)) + 1
    base = np.floor(x)
    offsets = np.arange(start, 2 - start)
    distance = np.abs((offsets[:, None] - (x - base)[None, :]) * scale)
    if a is None:
        weights = np.clip(1 - distance, 0, 1)
    else:
        far = np.where(distance < 2, np.asarray(_outer(distance, a)), 0.0)
        weights = np.where(distance <= 1, np.asarray(_inner(distance, a)), far)
    weights = weights / weights.sum(axis=0)
    return [Tap(base + offset, weight) for offset, weight in zip(offsets, weights, strict=True)]
