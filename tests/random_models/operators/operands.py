"""Operands that several recipes choose in the same way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from assembly import Draft

__all__ = ["Recipe", "some_axes", "batchnorm_inputs", "family", "image", "partner", "weight"]

Recipe = Callable[[Draft], None]
"""Drafts an operator, or a chain, on operands of the model."""


def partner(draft: Draft, value: str) -> str:
    """Return an operand that broadcasts with a value: as large, smaller, or a number."""
    array = draft.array(value)
    shape = list(array.shape)
    kind = int(draft.rng.integers(6))
    if kind == 0:
        return draft.operand(array.dtype, shape)
    if kind == 1 or not shape:
        return draft.constant(draft.random(array.dtype, ()))
    if kind == 2:
        return draft.constant(draft.random(array.dtype, (1,) * int(draft.rng.integers(1, 4))))
    start = int(draft.rng.integers(len(shape)))
    part = [1 if draft.chance(0.3) else size for size in shape[start:]]
    if kind == 3:
        return draft.operand(array.dtype, part)
    return draft.constant(draft.random(array.dtype, tuple(part)))


def some_axes(draft: Draft, rank: int) -> list[int]:
    """Return some axes, a few of them counted from the end."""
    count = int(draft.rng.integers(1, rank + 1))
    axes = sorted(int(axis) for axis in draft.rng.permutation(rank)[:count])
    return [axis - rank if draft.chance(0.4) else axis for axis in axes]


def weight(draft: Draft, *shape: int) -> str:
    """Return a constant of small numbers that are exact in binary."""
    array = np.round(draft.rng.standard_normal(shape) * 32) / 64
    return draft.constant(array, np.float32)


def image(draft: Draft) -> str:
    """Return a float32 value of rank 4 with two channels."""
    found = draft.values("f", lambda a: a.ndim == 4 and a.shape[1] == 2 and a.dtype == np.float32)
    if found and draft.chance(0.7):
        return str(draft.choose(found))
    return draft.operand(np.float32, (draft.choose((1, 3)), 2, *draft.rng.integers(2, 5, 2)))


def batchnorm_inputs(draft: Draft, size: int) -> list[str]:
    """Return scale, bias, mean and variance of a batch normalization."""
    variance = draft.constant(draft.choose((0.25, 1.0, 2.0)) + np.arange(size), np.float32)
    return [weight(draft, size), weight(draft, size), weight(draft, size), variance]


def family(function: Callable[..., None], *ops: str) -> dict[str, Recipe]:
    """Return recipes that differ in the operator alone."""
    return {op: partial(function, op) for op in ops}
