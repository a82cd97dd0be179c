"""A TFLite file: opened, judged as a whole, and its constants as arrays."""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from irconv.errors import InputError
from irconv.frontends.tflite.flatbuffer import Bytes, read_root
from irconv.frontends.tflite.judge import judge
from irconv.graph.reading.regular_file import open_regular
from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from irconv.frontends.tflite.model import Model, Tensor
    from irconv.runtime.base import Array

__all__ = ["IDENTIFIER", "ModelFile", "copy_file"]

IDENTIFIER = b"TFL3"
_IDENTIFIER_AT = 4
_SMALLEST = 16
_MOST_OF_TABLES = (1 << 31) - 1
_CHUNK = 8 << 20
_PACKED = {"int4": (4, True), "uint4": (4, False), "int2": (2, True)}


class ModelFile:
    """A file that was judged, mapped into memory.

    Args:
        path: The file.
        source: What the user calls it, for messages; None for the path.

    Attributes:
        path: The file.
        model: What it holds.

    Raises:
        InputError: If it is no TFLite file, or damaged, or reaches outside of itself.
    """

    def __init__(self, path: Path, source: str | None = None) -> None:
        self.path = path
        shown = source or str(path)
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size < _SMALLEST:
                raise _no_model(shown, f"it has only {size} bytes")
            self._data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        identifier = self._data[_IDENTIFIER_AT : _IDENTIFIER_AT + len(IDENTIFIER)]
        if identifier != IDENTIFIER:
            raise _no_model(shown, f"bytes 4 to 7 are {identifier!r} instead of {IDENTIFIER!r}")
        root = read_root(self._data, min(size, _MOST_OF_TABLES), "Model")
        self.model: Model = judge(root, size)

    def bytes_of(self, extent: Bytes) -> bytes:
        """Return bytes of the file."""
        return self._data[extent.offset : extent.offset + extent.size]

    def array(self, tensor: Tensor) -> Array:
        """Return a constant as a read-only array; packed integers are unpacked into int8.

        Args:
            tensor: A tensor with data and a static shape.
        """
        assert tensor.data is not None
        assert tensor.shape is not None
        shape = tuple(dim for dim in tensor.shape if dim is not None)
        if tensor.dtype == "string":
            return _strings(self.bytes_of(tensor.data), shape, tensor.name)
        raw = np.frombuffer(self._data, np.uint8, count=tensor.data.size, offset=tensor.data.offset)
        if tensor.dtype in _PACKED:
            return _unpack(raw, *_PACKED[tensor.dtype]).reshape(-1)[: _count(shape)].reshape(shape)
        if tensor.dtype == "bool":
            return np.asarray(raw != 0).reshape(shape)
        return raw.view(numpy_dtype(tensor.dtype).newbyteorder("<")).reshape(shape)


def copy_file(source: str, target: Path) -> str:
    """Copy a model file and return the SHA-256 of what was copied.

    Raises:
        InputError: If the source cannot be read.
    """
    digest = hashlib.sha256()
    with _open(Path(source)) as file, target.open("xb") as copy:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _open(path: Path) -> IO[bytes]:
    return open(open_regular(path, what="model file"), "rb")  # noqa: PTH123


def _no_model(source: str, problem: str) -> InputError:
    return InputError(
        f"{source!r} is no TFLite model: {problem}",
        where="reading the model",
        hint="give a .tflite file as tf.lite.TFLiteConverter or irconv writes it",
    )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _unpack(raw: Array, bits: int, signed: bool) -> Array:
    """Return packed integers, the first in the lowest bits, one a byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    items = (raw[:, None] >> shifts) & ((1 << bits) - 1)
    if not signed:
        return items
    top = 1 << (bits - 1)
    return ((items ^ top).astype(np.int16) - top).astype(np.int8)


def _strings(raw: bytes, shape: tuple[int, ...], name: str) -> Array:
    """Read TFLite's packed strings: their number, where each starts and the last ends, texts."""
    words = np.frombuffer(raw, "<i4", count=len(raw) // 4)
    count = int(words[0]) if words.size else 0
    if count != _count(shape) or len(words) < count + 2:
        raise InputError(
            f"the strings of tensor {name!r} are not as many as its shape {list(shape)} says",
            where="reading the FlatBuffer",
            hint="the file is damaged; get it again from where it was made",
        )
    bounds = [int(word) for word in words[1 : count + 2]]
    texts = np.empty(count, object)
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        if not 4 * (count + 2) <= start <= end <= len(raw):
            raise InputError(
                f"string {number} of tensor {name!r} reaches outside of it",
                where="reading the FlatBuffer",
                hint="the file is damaged; get it again from where it was made",
            )
        texts[number] = raw[start:end].decode("utf-8", "backslashreplace")
    return texts.reshape(shape)
