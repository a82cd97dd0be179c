"""The divisor of a normalization: the root of a variance or of a mean of squares.

The forms are those of the exporters: the variance is the mean of (x - mean)², or the mean of x²
less the square of the mean, which is the same number; epsilon is added to it on either side. A mean
over the axes from 2 on may be a GlobalAveragePool (tf2onnx, of a sequence).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import (
    made_by,
    operand,
    pairs,
    reduced_axes,
    scalar,
    square,
)

__all__ = ["Spread", "difference_from_mean", "is_mean", "spread_of"]

_MEANS = ("ReduceMean", "GlobalAveragePool")


@dataclass(frozen=True)
class Spread:
    """v + epsilon, where v is the variance of x, or the mean of its squares.

    Attributes:
        data: x.
        axes: The axes of the mean, sorted and counted from 0.
        epsilon: A positive number.
        centred: Whether v is the variance.
    """

    data: ir.Value
    axes: tuple[int, ...]
    epsilon: float
    centred: bool


def spread_of(value: ir.Value | None) -> Spread | None:
    """Read a value as v + epsilon; None where it is something else.

    Raises:
        Keep: If v is there, but epsilon is not a positive number, or the axes cannot be used.
    """
    for variance, summand in pairs(value, "Add"):
        found = _variance(variance)
        if found is None:
            continue
        data, axes, is_centred = found
        epsilon = scalar(summand)
        if epsilon is None:
            raise Keep(f"epsilon, {summand.name!r}, is not a constant number")
        if not 0 < epsilon < float("inf"):
            raise Keep(f"epsilon is {epsilon:g}, which is not positive")
        return Spread(data, axes, epsilon, is_centred)
    return None


def difference_from_mean(value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
    """Return x and its mean where ``value`` is x - mean; over which axes is not asked."""
    node = made_by(value, "Sub")
    data, mean = (None, None) if node is None else (operand(node, 0), operand(node, 1))
    reduction = made_by(mean, *_MEANS)
    if data is None or mean is None or reduction is None or operand(reduction, 0) is not data:
        return None
    return data, mean


def is_mean(value: ir.Value | None, data: ir.Value, axes: tuple[int, ...]) -> bool:
    """Return whether ``value`` is the mean of ``data`` over ``axes``."""
    node = made_by(value, *_MEANS)
    return node is not None and operand(node, 0) is data and reduced_axes(node, data) == axes


def _variance(value: ir.Value) -> tuple[ir.Value, tuple[int, ...], bool] | None:
    node = made_by(value, *_MEANS, "Sub")
    if node is None:
        return None
    if node.op_type == "Sub":
        return _difference(node)
    deviation = square(operand(node, 0))
    if deviation is None:
        return None
    pair = difference_from_mean(deviation)
    if pair is None:
        return deviation, reduced_axes(node, deviation), False
    data, mean = pair
    axes = reduced_axes(node, data)
    if not is_mean(mean, data, axes):
        raise Keep("the variance and the mean are over different axes")
    return data, axes, True


def _difference(node: ir.Node) -> tuple[ir.Value, tuple[int, ...], bool] | None:
    """Read a difference as the mean of x² less the square of the mean."""
    squares, mean = made_by(operand(node, 0), *_MEANS), square(operand(node, 1))
    if squares is None or mean is None:
        return None
    data = square(operand(squares, 0))
    if data is None:
        return None
    axes = reduced_axes(squares, data)
    return (data, axes, True) if is_mean(mean, data, axes) else None
