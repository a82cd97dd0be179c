"""The weight file of an ML Program (``weight.bin``), mapped.

All numbers are little-endian and unsigned. The file starts with a header of 64 bytes: the number
of blobs (4 bytes) and the version of the format, 2 (4 bytes). A blob has a record of 64 bytes,
at a multiple of 64: the mark ``0xDEADBEEF`` (4), a code of the dtype (4), the length of the data
in bytes (8), where in the file the data starts (8, a multiple of 64), and for elements narrower
than a byte the unused bits at the end (8). A program refers to a blob by the offset of its record.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irconv.errors import InputError
from irconv_coreml.interpreter.types import TensorType

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["WeightFile"]

_HEADER = struct.Struct("<II")
_RECORD = struct.Struct("<IIQQQ")
_ALIGNMENT = 64
_VERSION = 2
_MARK = 0xDEADBEEF
_CODES = {
    1: "float16", 2: "float32", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16", 7: "uint16",
    8: "int4", 9: "uint1", 10: "uint2", 11: "uint4", 12: "uint3", 13: "uint6", 14: "int32",
    15: "uint32", 16: "float8_e4m3fn", 17: "float8_e5m2",
}  # fmt: skip
_BITS = {"int4": 4, "uint4": 4, "uint6": 6, "uint3": 3, "uint2": 2, "uint1": 1}
_BYTE = 8


class WeightFile:
    """A mapped weight file.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, or has no valid header.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            with path.open("rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise self._broken(f"cannot be read: {error}") from error
        if len(self._file) < _ALIGNMENT:
            raise self._broken(f"is cut off: {len(self._file)} bytes are no header")
        self.count, version = _HEADER.unpack_from(self._file)
        if version != _VERSION:
            raise self._broken(f"has version {version}, and only version {_VERSION} is known")

    def read(self, offset: int, declared: TensorType) -> Array:
        """Return the blob whose record is at ``offset``, sharing the file's memory.

        Elements narrower than a byte are unpacked into new memory.

        Raises:
            InputError: If there is no such blob, it reaches beyond the file, or it is not of the
                declared type.
        """
        if offset % _ALIGNMENT or offset + _ALIGNMENT > len(self._file):
            raise self._broken(f"has no blob at offset {offset}")
        mark, code, length, start, unused_bits = _RECORD.unpack_from(self._file, offset)
        if mark != _MARK:
            raise self._broken(f"has no blob at offset {offset}")
        if start % _ALIGNMENT or start + length > len(self._file):
            raise self._broken(
                f"is cut off: the blob at {offset} takes {length} bytes from {start}, "
                f"and the file has {len(self._file)}"
            )
        stored = _CODES.get(code)
        as_bool = declared.dtype == "bool" and stored == "uint8"
        if stored != declared.dtype and not as_bool:
            raise self._broken(
                f"holds {stored or f'dtype {code}'} at offset {offset}, and the program "
                f"declares {declared}"
            )
        raw = np.frombuffer(self._file, np.uint8, length, start)
        count = self._element_count(declared, offset)
        bits = _BITS.get(declared.dtype)
        if bits is None:
            if count * declared.held_as.itemsize != length:
                raise self._wrong_size(offset, length, declared)
            return raw.view(declared.held_as).reshape(declared.shape)
        if count * bits != length * _BYTE - unused_bits:
            raise self._wrong_size(offset, length, declared)
        return _unpack(raw, count, bits, declared)

    def _element_count(self, declared: TensorType, offset: int) -> int:
        count = 1
        for size in declared.shape:
            if size is None:
                raise self._broken(f"is read at offset {offset} as {declared}, of unknown size")
            count *= size
        return count

    def _wrong_size(self, offset: int, length: int, declared: TensorType) -> InputError:
        return self._broken(
            f"holds {length} bytes at offset {offset}, and the program declares {declared}"
        )

    def _broken(self, what: str) -> InputError:
        return InputError(
            f"the weight file {self._name} {what}",
            where="Core ML package",
            hint="make the package again",
        )


def _unpack(raw: Array, count: int, bits: int, declared: TensorType) -> Array:
    """Return elements of ``bits`` bits each, the first in the lowest bits, one in each byte."""
    table = np.unpackbits(raw, bitorder="little")[: count * bits].reshape(count, bits)
    wide: Array = np.packbits(table, axis=1, bitorder="little").reshape(-1)
    if declared.dtype.startswith("int"):
        sign = 1 << (bits - 1)
        wide = (wide ^ sign).astype(np.int8) - np.int8(sign)
    return wide.reshape(declared.shape)
