"""Operators that rearrange elements, and those that join and part tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

if TYPE_CHECKING:
    from irconv_coreml.interpreter.execute import Context

__all__: list[str] = []

_IOS17 = 7


@interprets("reshape")
def reshape(x: Array, shape: Array, context: Context) -> Array:
    """Reshape; -1 is what is left over, and 0 inherits a size.

    A 0 inherits from the same dimension, and from iOS 17 on from the dimension as far from the
    end, or becomes 1 where there is none.
    """
    sizes = [int(size) for size in shape]
    if 0 in sizes and x.size:
        if context.opset < _IOS17 and len(sizes) != x.ndim:
            raise ValueError(f"a 0 in {sizes} needs {x.ndim} sizes")
        offset = x.ndim - len(sizes)
        sizes = [
            size or (x.shape[offset + axis] if offset + axis >= 0 else 1)
            for axis, size in enumerate(sizes)
        ]
    return x.reshape(sizes)


@interprets("reshape_like", since=6)
def reshape_like(
    x: Array,
    ref_tensors: tuple[Array, ...],
    begins: tuple[int, ...],
    ends: tuple[int, ...],
    end_masks: tuple[bool, ...],
) -> Array:
    """Reshape to parts of other tensors' shapes, one after another."""
    sizes: list[int] = []
    for reference, begin, end, mask in zip(
        _several(ref_tensors), _several(begins), _several(ends), _several(end_masks), strict=True
    ):
        sizes += reference.shape[int(begin) : None if bool(mask) else int(end)]
    return x.reshape(sizes)


def _several(values: object) -> tuple[Array, ...]:
    return values if isinstance(values, tuple) else (np.asarray(values),)


@interprets("transpose")
def transpose(x: Array, perm: Array) -> Array:
    """Permute the dimensions."""
    return np.transpose(x, [int(axis) for axis in perm])


@interprets("expand_dims")
def expand_dims(x: Array, axes: Array) -> Array:
    """Insert dimensions of size 1 at ``axes`` of the result."""
    return np.expand_dims(x, tuple(int(axis) for axis in np.atleast_1d(axes)))


@interprets("squeeze")
def squeeze(x: Array, axes: Array | None = None) -> Array:
    """Remove dimensions of size 1."""
    if axes is None:
        return np.squeeze(x)
    return np.squeeze(x, axis=tuple(int(axis) for axis in np.atleast_1d(axes)))


@interprets("flatten2d")
def flatten2d(x: Array, axis: int = 1) -> Array:
    """Make a matrix of the dimensions before ``axis`` and those from it on."""
    rows = int(np.prod(x.shape[: int(axis)], dtype=np.int64))
    return x.reshape(rows, int(np.prod(x.shape[int(axis) :], dtype=np.int64)))


@interprets("reverse")
def reverse(x: Array, axes: Array | None = None) -> Array:
    """Reverse the order along ``axes``."""
    return np.flip(x, None if axes is None else tuple(int(axis) for axis in axes))


@interprets("reverse_sequence")
def reverse_sequence(x: Array, lengths: Array, seq_axis: int = 0, batch_axis: int = 0) -> Array:
    """Reverse the first ``lengths[i]`` elements of each sample ``i``."""
    sequence, batch = int(seq_axis) % x.ndim, int(batch_axis) % x.ndim
    steps = np.arange(x.shape[sequence])
    source = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    if batch > sequence:
        source = source.T
    shape = [1] * x.ndim
    shape[sequence], shape[batch] = x.shape[sequence], x.shape[batch]
    return np.take_along_axis(x, source.reshape(shape), axis=sequence)


@interprets("concat")
def concat(values: tuple[Array, ...], axis: int, interleave: bool = False) -> Array:
    """Join along ``axis``, one tensor after another or element by element."""
    if len({value.dtype for value in values}) > 1:
        raise TypeError("its operands are of several dtypes")
    if values[0].ndim == 0:
        return np.array(values)
    if bool(interleave):
        stacked = np.stack(values, axis=int(axis) % values[0].ndim + 1)
        shape = list(values[0].shape)
        shape[int(axis)] *= len(values)
        return stacked.reshape(shape)
    return np.concatenate(values, axis=int(axis))


@interprets("stack")
def stack(values: tuple[Array, ...], axis: int) -> Array:
    """Join along a new dimension."""
    if len({value.dtype for value in values}) > 1:
        raise TypeError("its operands are of several dtypes")
    return np.stack(values, axis=int(axis))


@interprets("split")
def split(
    x: Array, axis: int, num_splits: int | None = None, split_sizes: Array | None = None
) -> tuple[Array, ...]:
    """Part along ``axis``, evenly or by sizes."""
    if split_sizes is None:
        if num_splits is None:
            raise ValueError("it states neither num_splits nor split_sizes")
        return tuple(np.split(x, int(num_splits), axis=int(axis)))
    if int(np.sum(split_sizes)) != x.shape[int(axis)]:
        raise ValueError(f"{list(split_sizes)} do not sum up to {x.shape[int(axis)]}")
    return tuple(np.split(x, np.cumsum(split_sizes)[:-1], axis=int(axis)))


@interprets("tile")
def tile(x: Array, reps: Array) -> Array:
    """Repeat each dimension ``reps`` times."""
    if len(reps) != x.ndim:
        raise ValueError(f"it has {len(reps)} repetitions for rank {x.ndim}")
    return np.tile(x, [int(count) for count in reps])


@interprets("depth_to_space")
def depth_to_space(x: Array, block_size: int) -> Array:
    """Spread channels over blocks; a channel's place in the block varies slowest."""
    batch, channels, height, width = x.shape
    block = int(block_size)
    parts = x.reshape(batch, block, block, channels // block**2, height, width)
    return parts.transpose(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * block, width * block)


@interprets("space_to_depth")
def space_to_depth(x: Array, block_size: int) -> Array:
    """The inverse of ``depth_to_space``."""
    batch, channels, height, width = x.shape
    block = int(block_size)
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    return parts.transpose(0, 3, 5, 1, 2, 4).reshape(
        batch, channels * block**2, height // block, width // block
    )


@interprets("pixel_shuffle")
def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """Spread channels over blocks; a channel's place in the block varies fastest."""
    batch, channels, height, width = x.shape
    block = int(upscale_factor)
    parts = x.reshape(batch, channels // block**2, block, block, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(batch, -1, height * block, width * block)


@interprets("pixel_unshuffle", since=6)
def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """The inverse of ``pixel_shuffle``."""
    batch, channels, height, width = x.shape
    block = int(downscale_factor)
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(
        batch, channels * block**2, height // block, width // block
    )


@interprets("space_to_batch")
def space_to_batch(x: Array, block_shape: Array, paddings: Array) -> Array:
    """Part space into interleaved grids, which become samples; the place varies slowest."""
    block_h, block_w = (int(size) for size in block_shape)
    padded = np.pad(x, [(0, 0), (0, 0), *((int(a), int(b)) for a, b in paddings)])
    batch, channels, height, width = padded.shape
    parts = padded.reshape(batch, channels, height // block_h, block_h, width // block_w, block_w)
    return parts.transpose(3, 5, 0, 1, 2, 4).reshape(
        batch * block_h * block_w, channels, height // block_h, width // block_w
    )


@interprets("batch_to_space")
def batch_to_space(x: Array, block_shape: Array, crops: Array) -> Array:
    """The inverse of ``space_to_batch``."""
    block_h, block_w = (int(size) for size in block_shape)
    batch, channels, height, width = x.shape
    parts = x.reshape(block_h, block_w, batch // (block_h * block_w), channels, height, width)
    whole = parts.transpose(2, 3, 4, 0, 5, 1).reshape(
        batch // (block_h * block_w), channels, height * block_h, width * block_w
    )
    (top, bottom), (left, right) = ((int(a), int(b)) for a, b in crops)
    return whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right]


@interprets("sliding_windows")
def sliding_windows(x: Array, axis: int, size: int, stride: int = 1) -> Array:
    """All windows along ``axis``; their elements become a dimension after it."""
    place = int(axis) % x.ndim
    windows = np.lib.stride_tricks.sliding_window_view(x, int(size), axis=place)
    spans = [slice(None)] * place + [slice(None, None, int(stride))]
    return np.moveaxis(windows[tuple(spans)], -1, place + 1)
