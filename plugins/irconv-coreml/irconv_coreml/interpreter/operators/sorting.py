"""Orders and selections."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.elementwise import CAST_DTYPES
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


def _order(x: Array, axis: int, *, ascending: bool) -> Array:
    """Return indices that sort along ``axis``; equal elements keep their order."""
    if ascending:
        return np.argsort(x, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - backwards, axis)


@interprets("argsort")
def argsort(
    x: Array, axis: int = -1, ascending: bool = False, output_dtype: str = "int32"
) -> Array:
    """Indices that sort along ``axis``."""
    return _order(x, int(axis), ascending=bool(ascending)).astype(CAST_DTYPES[output_dtype])


@interprets("topk")
def topk(
    x: Array,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Array, ...] | Array:
    """The largest (or smallest) elements and where they are, in order.

    Without ``sort`` MIL promises no order; the sorted one is as good as any.
    """
    del sort
    place = int(axis) % x.ndim
    count = x.shape[place] if int(k) == -1 else int(k)
    if count > x.shape[place]:
        raise ValueError(f"it wants {count} of {x.shape[place]} elements")
    order = np.take(_order(x, place, ascending=bool(ascending)), range(count), axis=place)
    values = np.take_along_axis(x, order, axis=place)
    if not bool(return_indices):
        return values
    return values, order.astype(CAST_DTYPES[output_indices_dtype])


@interprets("non_zero")
def non_zero(x: Array) -> Array:
    """The indices of elements that are not zero, one row each."""
    return np.argwhere(x).astype(np.int32)
