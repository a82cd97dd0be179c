"""Reading elements by index.

Up to iOS 16 a negative index counts from the end. From iOS 17 on it is out of bounds, and an
index out of bounds gives undefined results, so it is an error here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

if TYPE_CHECKING:
    from irconv_coreml.interpreter.execute import Context

__all__ = ["checked_indices"]

_IOS17 = 7


def checked_indices(indices: Array, size: int, opset: int) -> Array:
    """Return indices counted from the start.

    Raises:
        IndexError: If one is out of bounds.
    """
    low = 0 if opset >= _IOS17 else -size
    if indices.size and (indices.min() < low or indices.max() >= size):
        raise IndexError(
            f"an index in {indices.min()}..{indices.max()} is outside of {low}..{size - 1}, "
            "where Core ML's result is undefined"
        )
    wide = indices.astype(np.int64)
    return np.where(wide < 0, wide + size, wide)


@interprets("gather")
def gather(
    x: Array,
    indices: Array,
    context: Context,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Array:
    """Take slices of ``x`` along ``axis``; the first dimensions are batches."""
    del validate_indices
    place, batches = int(axis) % x.ndim, int(batch_dims)
    found = checked_indices(indices, x.shape[place], context.opset)
    if not batches:
        return np.take(x, found, axis=place)
    lead = x.shape[:batches]
    result = np.stack([np.take(x[at], found[at], axis=place - batches) for at in np.ndindex(*lead)])
    return result.reshape(*lead, *result.shape[1:])


@interprets("gather_along_axis")
def gather_along_axis(
    x: Array, indices: Array, context: Context, axis: int = 0, validate_indices: bool = False
) -> Array:
    """Take one element for each index, at the index's own place in the other dimensions."""
    del validate_indices
    place = int(axis) % x.ndim
    for dim, (size, wanted) in enumerate(zip(x.shape, indices.shape, strict=True)):
        if dim != place and size != wanted:
            raise ValueError(f"indices of {indices.shape} do not go with {x.shape}")
    found = checked_indices(indices, x.shape[place], context.opset)
    return np.take_along_axis(x, found, axis=place)


@interprets("gather_nd")
def gather_nd(
    x: Array,
    indices: Array,
    context: Context,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Array:
    """Take the slices that the last dimension of ``indices`` points at."""
    del validate_indices
    batches = int(batch_dims)
    depth = indices.shape[-1]
    coordinates = tuple(
        checked_indices(indices[..., k], x.shape[batches + k], context.opset) for k in range(depth)
    )
    lead = np.indices(indices.shape[:-1])[:batches]
    return np.asarray(x[(*lead, *coordinates)])
