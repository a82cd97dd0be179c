"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.elementwise import CAST_DTYPES
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    largest = np.max(x, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)) + largest
    return np.asarray(total if keepdims else np.squeeze(total, axis=axis))


def _mean(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    if x.dtype.kind != "f":
        raise TypeError(f"MIL does not define the mean of {x.dtype}")
    return np.asarray(np.mean(x, axis=axis, keepdims=keepdims))


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_mean": _mean,
    "reduce_sum": np.sum,
    "reduce_prod": np.prod,
    "reduce_l1_norm": lambda x, axis, keepdims: np.abs(x).sum(axis=axis, keepdims=keepdims),
    "reduce_l2_norm": lambda x, axis, keepdims: np.sqrt(
        np.square(x).sum(axis=axis, keepdims=keepdims)
    ),
    "reduce_log_sum": lambda x, axis, keepdims: np.log(x.sum(axis=axis, keepdims=keepdims)),
    "reduce_log_sum_exp": _log_sum_exp,
    "reduce_sum_square": lambda x, axis, keepdims: np.square(x).sum(axis=axis, keepdims=keepdims),
}


def _register(kind: str, function: Callable[..., Any]) -> None:
    @interprets(kind, wide=True)
    def compute(x: Array, axes: Array | None = None, keep_dims: bool = False) -> Array:
        if x.ndim == 0:
            raise ValueError("it reduces a scalar, and MIL wants rank 1 or more")
        chosen = range(x.ndim) if axes is None else [int(a) % x.ndim for a in np.atleast_1d(axes)]
        result = np.asarray(function(x, axis=tuple(chosen), keepdims=bool(keep_dims)))
        return result.astype(x.dtype)


for _kind, _function in _REDUCTIONS.items():
    _register(_kind, _function)


@interprets("reduce_argmax")
def reduce_argmax(
    x: Array, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Array:
    """Index of the largest element; the first of several."""
    found = np.argmax(x, axis=int(axis), keepdims=bool(keep_dims))
    return np.asarray(found).astype(CAST_DTYPES[output_dtype])


@interprets("reduce_argmin")
def reduce_argmin(
    x: Array, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32"
) -> Array:
    """Index of the smallest element; the first of several."""
    found = np.argmin(x, axis=int(axis), keepdims=bool(keep_dims))
    return np.asarray(found).astype(CAST_DTYPES[output_dtype])
