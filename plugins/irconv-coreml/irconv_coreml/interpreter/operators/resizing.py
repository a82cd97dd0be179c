"""Resizing of the last dimensions."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__ = ["grid_points"]


def grid_points(size: int, count: int, mode: str) -> Array:
    """Return where ``count`` samples of a dimension of ``size`` lie, by MIL's sampling modes.

    Raises:
        ValueError: If there is no such mode.
    """
    steps = np.arange(count, dtype=np.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count == 1:
            return np.full(1, (size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0)
        points = steps * (size - 1) / (count - 1)
    elif mode == "DEFAULT":
        points = steps * size / count
    elif mode == "OFFSET_CORNERS":
        points = (steps + 0.5) * max(1, size - 1) / count
    elif mode == "UNALIGN_CORNERS":
        points = (steps + 0.5) * size / count - 0.5
    else:
        raise ValueError(f"MIL has no sampling mode {mode!r}")
    return np.clip(points, 0, size - 1)


def _linear(x: Array, axis: int, points: Array) -> Array:
    low = np.floor(points).astype(np.int64)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    share = (points - low).astype(np.float32).reshape(shape)
    result: Array = np.take(x, low, axis=axis) * (1 - share)
    result += np.take(x, high, axis=axis) * share
    return result


def _nearest(x: Array, axis: int, points: Array, mode: str) -> Array:
    """Take the nearest sample: the one before in the mode DEFAULT, else the closest."""
    if mode == "DEFAULT":
        return np.take(x, np.floor(points + 1e-9).astype(np.int64), axis=axis)
    if np.any(np.abs(points - np.floor(points) - 0.5) < 1e-9):
        raise ValueError("MIL does not say which of two equally near samples it takes")
    return np.take(x, np.rint(points).astype(np.int64), axis=axis)


@interprets("resize", since=7, wide=True)
def resize(
    x: Array,
    shape: Array,
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Array:
    """Resize the last ``resized_dims`` dimensions to the last sizes of ``shape``; 0 keeps one."""
    count = int(resized_dims)
    sizes = [int(size) for size in shape][len(shape) - count :]
    result = x
    for axis, size in zip(range(x.ndim - count, x.ndim), sizes, strict=True):
        points = grid_points(x.shape[axis], size or x.shape[axis], sampling_mode)
        if interpolation_mode == "LINEAR":
            result = _linear(result, axis, points)
        elif interpolation_mode == "NEAREST_NEIGHBOR":
            result = _nearest(result, axis, points, sampling_mode)
        else:
            raise ValueError(f"MIL has no interpolation mode {interpolation_mode!r}")
    return result.astype(x.dtype)


@interprets("resize_bilinear", wide=True)
def resize_bilinear(
    x: Array,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
) -> Array:
    """Interpolate rows and columns."""
    rows = grid_points(x.shape[-2], int(target_size_height), sampling_mode)
    columns = grid_points(x.shape[-1], int(target_size_width), sampling_mode)
    return _linear(_linear(x, x.ndim - 2, rows), x.ndim - 1, columns)


@interprets("resize_nearest_neighbor")
def resize_nearest_neighbor(x: Array, target_size_height: int, target_size_width: int) -> Array:
    """Take the sample before each point."""
    rows = grid_points(x.shape[-2], int(target_size_height), "DEFAULT")
    columns = grid_points(x.shape[-1], int(target_size_width), "DEFAULT")
    return _nearest(_nearest(x, x.ndim - 2, rows, "DEFAULT"), x.ndim - 1, columns, "DEFAULT")


@interprets("upsample_nearest_neighbor")
def upsample_nearest_neighbor(
    x: Array, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Array:
    """Repeat samples."""
    result = x
    for axis, factor in ((-2, scale_factor_height), (-1, scale_factor_width)):
        size, scale = x.shape[axis], float(factor)
        count = int(np.floor(size * scale))
        steps = np.arange(count)
        chosen = np.floor(steps * size / count + 1e-9).astype(np.int64)
        if not np.array_equal(chosen, np.floor(steps / scale + 1e-9).astype(np.int64)):
            raise ValueError(f"MIL does not say which samples a factor of {scale} takes")
        result = np.take(result, chosen, axis=axis)
    return result


@interprets("upsample_bilinear", wide=True)
def upsample_bilinear(
    x: Array,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Array:
    """Interpolate rows and columns; the factors are recomputed from the sizes."""
    aligned = bool(align_corners)
    centered = not aligned if half_pixel_centers is None else bool(half_pixel_centers)
    if aligned and centered:
        raise ValueError("align_corners does not go with half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if centered else "DEFAULT"
    return resize_bilinear(
        x,
        int(np.floor(x.shape[-2] * float(scale_factor_height))),
        int(np.floor(x.shape[-1] * float(scale_factor_width))),
        mode,
    )
