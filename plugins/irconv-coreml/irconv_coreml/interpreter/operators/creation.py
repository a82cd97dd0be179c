"""Tensors from shapes and numbers."""

from __future__ import annotations

import math

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.elementwise import CAST_DTYPES
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


@interprets("shape")
def shape(x: Array, output_dtype: str = "int32") -> Array:
    """The sizes of ``x``."""
    return np.array(x.shape, CAST_DTYPES[output_dtype])


@interprets("fill")
def fill(shape: Array, value: Array | float = 0.0) -> Array:
    """A tensor of one value."""
    filler = np.asarray(value) if isinstance(value, np.ndarray) else np.float32(value)
    return np.full([int(size) for size in shape], filler, filler.dtype)


@interprets("fill_like", since=6)
def fill_like(ref_tensor: Array, value: Array | float = 0.0) -> Array:
    """A tensor of one value, as large as another."""
    filler = np.asarray(value) if isinstance(value, np.ndarray) else np.float32(value)
    return np.full(ref_tensor.shape, filler, filler.dtype)


@interprets("range_1d")
def range_1d(start: Array, end: Array, step: Array) -> Array:
    """``start``, ``start + step``, and so on, before ``end``."""
    if len({start.dtype, end.dtype, step.dtype}) > 1:
        raise TypeError(f"its bounds are {start.dtype}, {end.dtype} and {step.dtype}")
    first, last, increment = start.item(), end.item(), step.item()
    count = max(0, math.ceil((last - first) / increment))
    values: Array = first + np.arange(count) * increment
    return values.astype(start.dtype)


@interprets("one_hot")
def one_hot(
    indices: Array,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: Array | int = 1,
    off_value: Array | int = 0,
) -> Array:
    """``on_value`` where the position along a new dimension is the index."""
    on = np.asarray(on_value if isinstance(on_value, np.ndarray) else np.int32(on_value))
    off = np.asarray(off_value if isinstance(off_value, np.ndarray) else np.int32(off_value))
    if on.dtype != off.dtype:
        raise TypeError(f"its values are {on.dtype} and {off.dtype}")
    place = int(axis) % (indices.ndim + 1)
    positions = np.arange(int(one_hot_vector_size)).reshape(
        [-1 if dim == place else 1 for dim in range(indices.ndim + 1)]
    )
    return np.where(np.expand_dims(indices, place) == positions, on, off)


@interprets("band_part")
def band_part(x: Array, lower: int = -1, upper: int = -1) -> Array:
    """Zero outside of a band around the diagonal of each matrix; a negative width is all."""
    below, above = int(lower), int(upper)
    offset = np.arange(x.shape[-2])[:, None] - np.arange(x.shape[-1])
    kept = ((below < 0) | (offset <= below)) & ((above < 0) | (-offset <= above))
    return np.where(kept, x, np.zeros((), x.dtype))


@interprets("cumsum", wide=True)
def cumsum(x: Array, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Array:
    """Sums of all elements so far, of those before, or counted from the end."""
    place = int(axis) % x.ndim
    ordered = np.flip(x, place) if bool(reverse) else x
    total = np.cumsum(ordered, axis=place, dtype=x.dtype)
    if bool(exclusive):
        total = np.roll(total, 1, axis=place)
        first: list[slice | int] = [slice(None)] * x.ndim
        first[place] = slice(0, 1)
        total[tuple(first)] = 0
    return np.flip(total, place) if bool(reverse) else total


@interprets("select")
def select(cond: Array, a: Array, b: Array) -> Array:
    """``a`` where ``cond``, else ``b``."""
    if cond.dtype != np.bool_ or a.dtype != b.dtype:
        raise TypeError(f"it selects by {cond.dtype} between {a.dtype} and {b.dtype}")
    return np.where(cond, a, b)
