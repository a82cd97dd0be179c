"""Permutations of dimensions, as ``Transpose`` writes them: result axis i is source axis p[i]."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

__all__ = [
    "Permutation",
    "channel_last",
    "compose",
    "identity",
    "inverse",
    "is_identity",
    "moves_only_ones",
    "permuted_shape",
]

Permutation = tuple[int, ...]


def identity(rank: int) -> Permutation:
    """Return the permutation that moves nothing."""
    return tuple(range(rank))


def is_identity(permutation: Sequence[int]) -> bool:
    """Return whether nothing moves."""
    return all(axis == index for index, axis in enumerate(permutation))


def channel_last(rank: int) -> Permutation:
    """Return (N, C, spatial…) → (N, spatial…, C)."""
    return (0, *range(2, rank), 1)


def inverse(permutation: Sequence[int]) -> Permutation:
    """Return the permutation that undoes this one."""
    result = [0] * len(permutation)
    for index, axis in enumerate(permutation):
        result[axis] = index
    return tuple(result)


def compose(first: Sequence[int], second: Sequence[int]) -> Permutation:
    """Return the one permutation that does ``first``, then ``second``."""
    return tuple(first[axis] for axis in second)


def permuted_shape(shape: ir.Shape | None, permutation: Sequence[int]) -> ir.Shape | None:
    """Return a shape with its dimensions in another order."""
    return None if shape is None else ir.Shape([shape[axis] for axis in permutation])


def moves_only_ones(shape: ir.Shape | None, permutation: Sequence[int]) -> bool:
    """Return whether the data stay in place, since only dimensions of size 1 change places."""
    if shape is None:
        return False
    moving = [axis for axis in permutation if shape[axis] != 1]
    return moving == sorted(moving)
