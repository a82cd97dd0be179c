"""Arrays of integer and float types narrower than a byte, to packed bytes and back.

The layout is that of ONNX (``onnx.proto``, field ``raw_data`` of ``TensorProto``): elements
lie in row-major order, the first in the lowest bits of its byte, and the last byte is filled
up with zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["bit_width", "from_bytes", "to_bytes"]

_NARROW = {
    "int4": 4,
    "uint4": 4,
    "float4_e2m1fn": 4,
    "float6_e2m3fn": 6,
    "float6_e3m2fn": 6,
    "int2": 2,
    "uint2": 2,
}
_BYTE = 8


def bit_width(dtype: str) -> int:
    """Return the bits that one element of a full dtype name takes when packed."""
    return _NARROW.get(dtype) or numpy_dtype(dtype).itemsize * _BYTE


def to_bytes(array: Array) -> Array:
    """Return the packed bytes of ``array``, a one-dimensional array of uint8."""
    raw: Array = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    width = bit_width(array.dtype.name)
    if width >= _BYTE:
        return raw
    bits = np.unpackbits(raw.reshape(-1, 1), axis=1, bitorder="little")[:, :width]
    return np.packbits(bits.reshape(-1), bitorder="little")


def from_bytes(raw: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """Return the array of ``shape`` whose packed bytes are ``raw``, the inverse of to_bytes.

    The result may share memory with ``raw``.
    """
    wanted: np.dtype[Any] = numpy_dtype(dtype)
    width = bit_width(dtype)
    if width >= _BYTE:
        return raw.view(wanted).reshape(shape)
    count = int(np.prod(shape))
    bits = np.unpackbits(raw, bitorder="little")[: count * width].reshape(count, width)
    wide = np.packbits(bits, axis=1, bitorder="little").reshape(-1)
    if wanted.name.startswith("int"):
        sign = 1 << (width - 1)
        return ((wide ^ sign).astype(np.int8) - np.int8(sign)).astype(wanted).reshape(shape)
    return wide.view(wanted).reshape(shape)
