"""Arithmetic that reads as a formula, on numbers known now or on values known at run time.

The formulas of the interpolating operators are written once: with NumPy arrays they give
constants, computed in float64, and with :class:`Expr` they add nodes that compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.passes.decompose.block import Block, Dim

__all__ = [
    "Expr", "Number", "absolute", "between", "both", "ceil", "clip", "floor", "number_of",
    "round_even", "select", "value_of",
]  # fmt: skip

_FLOAT = ir.DataType.FLOAT
_INT64 = ir.DataType.INT64


class Expr:
    """A value and the block that computes with it; operators add nodes.

    Args:
        block: Where nodes are added.
        value: A float32 tensor, or a bool one that a comparison gave.
    """

    __array_ufunc__ = None

    def __init__(self, block: Block, value: ir.Value) -> None:
        self.block = block
        self.value = value

    def _apply(self, op_type: str, other: Number, *, swapped: bool = False) -> Expr:
        right = value_of(self.block, other)
        pair = (right, self.value) if swapped else (self.value, right)
        return Expr(self.block, self.block.op(op_type, *pair))

    def __add__(self, other: Number) -> Expr:
        return self._apply("Add", other)

    __radd__ = __add__

    def __sub__(self, other: Number) -> Expr:
        return self._apply("Sub", other)

    def __rsub__(self, other: Number) -> Expr:
        return self._apply("Sub", other, swapped=True)

    def __mul__(self, other: Number) -> Expr:
        return self._apply("Mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Number) -> Expr:
        return self._apply("Div", other)

    def __rtruediv__(self, other: Number) -> Expr:
        return self._apply("Div", other, swapped=True)


Number = Expr | npt.NDArray[Any] | float
"""A number or an array of them, known now or at run time."""


def value_of(block: Block, number: Number, dtype: ir.DataType = _FLOAT) -> ir.Value:
    """Return a number as a value; one known now becomes a constant of ``dtype`` or bool."""
    if isinstance(number, Expr):
        found = number.value
        return found if found.dtype == ir.DataType.BOOL else block.cast(found, dtype)
    array = np.asarray(number)
    return block.constant(array if array.dtype == np.bool_ else array.astype(dtype.numpy()))


def number_of(block: Block, size: Dim) -> Number:
    """Return a size as a number."""
    if isinstance(size, int):
        return float(size)
    return Expr(block, block.cast(block.number(size), _FLOAT))


def _block_of(*numbers: Number) -> Block | None:
    """Return the block that computes with these numbers; None where all are known now."""
    return next((number.block for number in numbers if isinstance(number, Expr)), None)


def _compute(op_type: str, *numbers: Number) -> Number:
    block = _block_of(*numbers)
    if block is None:
        known: npt.NDArray[Any] = _KNOWN[op_type](*map(np.asarray, numbers))
        return known
    return Expr(block, block.op(op_type, *(value_of(block, number) for number in numbers)))


def clip(number: Number, low: Number, high: Number) -> Number:
    """Return ``number`` within bounds; the lower one wins."""
    return _compute("Max", _compute("Min", number, high), low)


def between(number: Number, low: Number, high: Number) -> Number:
    """Return where ``number`` lies within bounds, which are included."""
    above = _compute("GreaterOrEqual", number, low)
    return _compute("And", above, _compute("LessOrEqual", number, high))


def both(left: Number, right: Number) -> Number:
    """Return where both conditions hold."""
    return _compute("And", left, right)


def floor(number: Number) -> Number:
    """Return the largest integers not above."""
    return _compute("Floor", number)


def ceil(number: Number) -> Number:
    """Return the smallest integers not below."""
    return _compute("Ceil", number)


def round_even(number: Number) -> Number:
    """Return the nearest integers; of two that are equally near, the even one."""
    return _compute("Round", number)


def absolute(number: Number) -> Number:
    """Return magnitudes."""
    return _compute("Abs", number)


def select(condition: Number, yes: Number, no: Number) -> Number:
    """Return ``yes`` where the condition holds, else ``no``."""
    return _compute("Where", condition, yes, no)


_KNOWN: Mapping[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "GreaterOrEqual": np.greater_equal,
    "LessOrEqual": np.less_equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "Round": np.rint,
    "Where": np.where,
}
"""What computes the same on arrays that are known now."""
