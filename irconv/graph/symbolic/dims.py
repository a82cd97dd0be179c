"""Sizes of dimensions: integers, or expressions in sizes that only the run knows.

Every symbol is an integer of at least 0. Two sizes are known to be equal if their expressions
are, after SymPy's own canonicalization of sums and products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx_ir as ir
import sympy

__all__ = [
    "Dim", "Dims", "Items", "as_dim", "broadcast", "floor_divide", "named_size", "stated_dims",
    "unknown_size",
]  # fmt: skip

Dim: TypeAlias = int | Any
"""An int or a ``sympy.Expr``; SymPy has no types."""
Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Items:
    """The items of an integer or bool tensor of rank 0 or 1.

    Attributes:
        values: The items in order; None for one of which nothing is known.
        is_scalar: Whether the rank is 0; then there is one item.
    """

    values: tuple[Dim | None, ...]
    is_scalar: bool = False

    @property
    def complete(self) -> bool:
        """Whether something is known of every item."""
        return None not in self.values


def named_size(name: str) -> sympy.Symbol:
    """Return the size that a model's inputs call ``name``."""
    return sympy.Symbol(name, integer=True, nonnegative=True)


def unknown_size() -> sympy.Dummy:
    """Return a size that equals no other."""
    return sympy.Dummy("d", integer=True, nonnegative=True)


def as_dim(expression: sympy.Expr | int) -> Dim:
    """Return an expression as a size: an int where it is a number."""
    return int(expression) if isinstance(expression, sympy.Integer) else expression


def floor_divide(dividend: Dim, divisor: Dim) -> Dim | None:
    """Return the quotient of two sizes; None where a sign is not known, so that ONNX may truncate.

    ONNX ``Div`` of integers truncates, which is flooring where neither is negative. A size that
    divides is taken not to be 0, for which ``Div`` defines no result.
    """
    first, second = sympy.sympify(dividend), sympy.sympify(divisor)
    if first.is_nonnegative and second.is_nonnegative and second != 0:
        return as_dim(sympy.floor(first / second))
    return None


def stated_dims(shape: ir.Shape | None, *, named: bool) -> Dims | None:
    """Return the dims of a shape as a model states it.

    Args:
        shape: The shape.
        named: Whether equal names mean equal sizes; otherwise each is a size of its own.
    """
    if shape is None:
        return None
    return tuple(
        dim if isinstance(dim, int) else _size(dim.value if named else None) for dim in shape
    )


def _size(name: str | None) -> sympy.Symbol:
    return unknown_size() if name is None else named_size(name)


def broadcast(first: Sequence[Dim], second: Sequence[Dim]) -> Dims:
    """Return the dims of two shapes broadcast to each other, by ONNX's multidirectional rules."""
    rank = max(len(first), len(second))
    pairs = zip(
        (*(1,) * (rank - len(first)), *first), (*(1,) * (rank - len(second)), *second), strict=True
    )
    return tuple(_broadcast_dim(one, other) for one, other in pairs)


def _broadcast_dim(one: Dim, other: Dim) -> Dim:
    if one == other or other == 1:
        return one
    if one == 1 or isinstance(other, int):
        return other
    if isinstance(one, int) or _is_cut(other, one):
        return one
    return other if _is_cut(one, other) else unknown_size()


def _is_cut(size: Dim, whole: Dim) -> bool:
    """Whether ``size`` is min(c, whole) with c > 0: broadcast, it is the whole or 1."""
    return (
        isinstance(size, sympy.Min)
        and set(size.args) == {whole, *size.atoms(sympy.Integer)}
        and all(number > 0 for number in size.atoms(sympy.Integer))
    )
