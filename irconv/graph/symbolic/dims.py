"""Shapes and small integer tensors whose sizes are expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from irconv.graph.symbolic.expression import Dim, Size, least_of, named_size, unknown_size

__all__ = ["Dims", "Items", "broadcast", "stated_dims"]

Dims: TypeAlias = tuple[Dim, ...]


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


def _size(name: str | None) -> Size:
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
    others = (least_of(size) or frozenset()) - {whole}
    return len(others) == 1 and all(isinstance(other, int) and other > 0 for other in others)
