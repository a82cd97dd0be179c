"""Constants stored in a compressed form (``constexpr_*``), and quantization at run time."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.elementwise import CAST_DTYPES
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def _along(values: Array, data: Array, axis: int | None) -> Array:
    """Return a scalar or one value for each index of ``axis``, ready to broadcast, in float32."""
    wide = values.astype(np.float32)
    if wide.ndim == 0 or wide.size == 1:
        return wide.reshape(())
    if axis is None or wide.shape != (data.shape[int(axis)],):
        raise ValueError(f"{values.shape} parameters do not go with {data.shape}")
    shape = [1] * data.ndim
    shape[int(axis)] = -1
    return wide.reshape(shape)


@interprets("quantize", since=7)
def quantize(
    input: Array,
    scale: Array,
    output_dtype: str,
    zero_point: Array | None = None,
    axis: int | None = None,
) -> Array:
    """``clip(round(input / scale) + zero_point)``, half to even."""
    low, high = _LIMITS[output_dtype]
    scaled = np.rint(input.astype(np.float32) / _along(scale, input, axis))
    if zero_point is not None:
        scaled = scaled + _along(zero_point, input, axis)
    return np.clip(scaled, low, high).astype(CAST_DTYPES[output_dtype])


@interprets("dequantize", since=7)
def dequantize(
    input: Array,
    scale: Array,
    zero_point: Array | None = None,
    axis: int | None = None,
) -> Array:
    """``scale (input - zero_point)``."""
    shifted = input.astype(np.float32)
    if zero_point is not None:
        shifted = shifted - _along(zero_point, input, axis)
    return (shifted * _along(scale, input, axis)).astype(scale.dtype)


@interprets("constexpr_affine_dequantize", since=6)
def affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: int) -> Array:
    """``scale (data - zero_point)``."""
    shifted = quantized_data.astype(np.float32) - _along(zero_point, quantized_data, axis)
    return (shifted * _along(scale, quantized_data, axis)).astype(scale.dtype)


@interprets("constexpr_cast", since=6)
def constexpr_cast(source_val: Array, output_dtype: str) -> Array:
    """Widen float16 to float32."""
    return source_val.astype(CAST_DTYPES[output_dtype])


@interprets("constexpr_blockwise_shift_scale", since=8)
def blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """``scale (data - offset)`` with parameters for each block."""
    shifted = data.astype(np.float32)
    if offset is not None:
        shifted = shifted - _spread(offset, data.shape).astype(np.float32)
    return (shifted * _spread(scale, data.shape).astype(np.float32)).astype(scale.dtype)


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """Repeat each value over its block, up to ``shape``."""
    for axis, size in enumerate(shape):
        if size % values.shape[axis]:
            raise ValueError(f"{values.shape} blocks do not divide {shape}")
        values = np.repeat(values, size // values.shape[axis], axis=axis)
    return values


@interprets("constexpr_lut_to_dense", since=6)
def lut_to_dense(
    indices: Array,
    lut: Array,
    shape: Array | None = None,
    vector_axis: int | None = None,
) -> Array:
    """Replace indices by entries of a table.

    Up to iOS 17 the indices are packed bits of one table, and ``shape`` is the result's. From
    iOS 18 on there is a table for each block, and an entry may be a vector along an axis.
    """
    if shape is not None:
        sizes = [int(size) for size in shape]
        bits = int(lut.size).bit_length() - 1
        return np.asarray(lut[_unpack(indices, bits, sizes)])
    tables, entries = _tables(lut, indices.shape)
    chosen = entries[tables, indices]
    return _lay_vectors(chosen, vector_axis)


def _unpack(packed: Array, bits: int, shape: list[int]) -> Array:
    count = int(np.prod(shape, dtype=np.int64))
    table = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
    return np.packbits(table, axis=1, bitorder="little").reshape(shape)


def _tables(lut: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the number of each element's table, and the tables one after another."""
    lead = lut.shape[:-2]
    numbers = np.arange(int(np.prod(lead, dtype=np.int64))).reshape(lead)
    return _spread(numbers, shape), lut.reshape(-1, *lut.shape[-2:])


def _lay_vectors(chosen: Array, vector_axis: int | None) -> Array:
    if chosen.shape[-1] == 1:
        return chosen[..., 0]
    if vector_axis is None:
        raise ValueError("its entries are vectors, and no axis is stated")
    place = int(vector_axis) % (chosen.ndim - 1)
    moved = np.moveaxis(chosen, -1, place + 1)
    shape = list(chosen.shape[:-1])
    shape[place] *= chosen.shape[-1]
    return moved.reshape(shape)


@interprets("constexpr_sparse_to_dense", since=6)
def sparse_to_dense(nonzero_data: Array, mask: Array, shape: Array | None = None) -> Array:
    """Put values where the mask is set, and zeros elsewhere."""
    set_at = mask if shape is None else _unpack(mask, 1, [int(size) for size in shape])
    return _fill(set_at, nonzero_data)


def _fill(mask: Array, values: Array) -> Array:
    if int((mask != 0).sum()) != values.size:
        raise ValueError(f"the mask sets {int((mask != 0).sum())} of {values.size} values")
    dense = np.zeros(mask.shape, values.dtype)
    dense[mask != 0] = values
    return dense


@interprets("constexpr_lut_to_sparse", since=8)
def lut_to_sparse(
    indices_mask: Array,
    indices_nonzero_data: Array,
    lut: Array,
    vector_axis: int | None = None,
) -> tuple[Array, Array]:
    """Replace the indices of a sparse tensor by entries of a table."""
    dense = lut_to_dense(_fill(indices_mask, indices_nonzero_data), lut, vector_axis=vector_axis)
    mask = indices_mask
    if dense.shape != mask.shape and vector_axis is not None:
        mask = np.repeat(mask, lut.shape[-1], axis=int(vector_axis))
    return mask, dense[mask != 0]


@interprets("constexpr_sparse_blockwise_shift_scale", since=8)
def sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """``scale (data - offset)`` for the values of a sparse tensor."""
    dense = blockwise_shift_scale(_fill(data_mask, nonzero_data), scale, offset)
    return data_mask, dense[data_mask != 0]
