"""Pooling, on one to three spatial dimensions."""

from __future__ import annotations

import dataclasses

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets
from irconv_coreml.interpreter.windows import Windows, make_windows

__all__: list[str] = []


@interprets("max_pool")
def max_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None = None,
    pad: Array | None = None,
    ceil_mode: bool = False,
) -> Array:
    """The largest element under the kernel; padding is less than all."""
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, bool(ceil_mode))
    result: Array | None = None
    for _, view in windows.views(windows.padded(x, -np.inf)):
        result = view if result is None else np.maximum(result, view)
    if result is None:
        raise ValueError("its kernel is empty")
    return np.ascontiguousarray(result)


@interprets("avg_pool", wide=True)
def avg_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None = None,
    pad: Array | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Array:
    """The mean under the kernel.

    Padding counts as zeros unless it is excluded; what ``ceil_mode`` lets a window reach beyond
    the padding never counts.
    """
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, bool(ceil_mode))
    counted = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if bool(exclude_padding_from_average):
        count = _sum(windows, counted)
    else:
        full = np.pad(counted, [(0, 0), (0, 0), *windows.pads], constant_values=1)
        unpadded = ((0, 0),) * len(windows.pads)
        count = _sum(dataclasses.replace(windows, pads=unpadded, sizes=full.shape[2:]), full)
    return _sum(windows, x) / count


@interprets("l2_pool", wide=True)
def l2_pool(
    x: Array,
    kernel_sizes: Array,
    pad_type: str,
    strides: Array | None = None,
    pad: Array | None = None,
    ceil_mode: bool = False,
) -> Array:
    """The square root of the sum of squares under the kernel."""
    windows = _windows(x, kernel_sizes, strides, pad_type, pad, bool(ceil_mode))
    return np.sqrt(_sum(windows, x * x))


def _windows(
    x: Array, kernel: Array, strides: Array | None, pad_type: str, pad: Array | None, ceil: bool
) -> Windows:
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"its input has rank {x.ndim}, and MIL wants 3 to 5")
    if ceil and pad_type.startswith("same"):
        raise ValueError(f"ceil_mode does not go with pad_type {pad_type!r}")
    sizes = [int(size) for size in kernel]
    return make_windows(x.shape[2:], sizes, strides, None, pad_type, pad, ceil_mode=ceil)


def _sum(windows: Windows, x: Array) -> Array:
    total = np.zeros((*x.shape[:2], *windows.outputs), np.float32)
    for _, view in windows.views(windows.padded(x, 0)):
        total += view
    return total
