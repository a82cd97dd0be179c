"""A tensor that is mapped from a file, its own bytes only.

``onnx_ir.ExternalTensor`` maps the whole file for every tensor. A thousand tensors of a file of
100 GiB then take 100 TiB of address space, nearly all that a process has.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown
from irconv.graph.reading.regular_file import open_regular

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["MappedTensor"]

_MOST_AT_ONCE = 1 << 30
_CHUNK = 8 << 20
_NO_KERNEL_COPY = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV}
)


class MappedTensor(ir.ExternalTensor):
    """A tensor in a file.

    Args:
        path: The file, links followed.
        offset: First byte of the data.
        like: A tensor with its name, dtype and shape.
    """

    __slots__ = ("_mapped",)

    def __init__(self, path: Path, offset: int, like: ir.TensorProtocol) -> None:
        super().__init__(
            path.name,
            offset,
            like.nbytes,
            like.dtype,
            shape=ir.Shape(like.shape.numpy()),
            name=like.name or "",
            doc_string=like.doc_string,
            metadata_props=dict(like.metadata_props),
            base_dir=str(path.parent),
        )
        self._mapped: weakref.ref[Array] | None = None

    def numpy(self) -> Array:
        """Return the tensor as an array; what is mapped takes memory only once it is read.

        The mapping, and with it that memory, ends with the last array that refers to it.

        Raises:
            InputError: If the file is gone or has become too short.
        """
        array = None if self._mapped is None else self._mapped()
        if array is None:
            array = self._map()
            self._mapped = weakref.ref(array)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def tobytes(self) -> bytes:
        """Return the bytes as ONNX stores them; they are read into memory."""
        return self._bytes().tobytes()

    def tofile(self, file: IO[bytes]) -> None:
        """Write the bytes as ONNX stores them; into a file of the system the kernel copies them.

        Raises:
            InputError: If the file is gone or has become too short.
            OSError: If they cannot be written.
        """
        if isinstance(file, io.BufferedWriter | io.BufferedRandom):
            with self._open() as source:
                _copy(source, self.offset or 0, file, self.nbytes)
        else:
            file.write(self.tobytes())

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the bytes as ONNX stores them, read and not mapped, so that none stay resident.

        Args:
            size: The most bytes in one piece.

        Raises:
            InputError: If the file is gone or has become too short.
        """
        with self._open() as source:
            for start in range(0, self.nbytes, size):
                yield self._read(source, start, min(size, self.nbytes - start))

    def read(self, spans: Iterable[tuple[int, int]]) -> list[bytes]:
        """Return some of the bytes as ONNX stores them, read and not mapped.

        A page that is read through a mapping counts as memory of this process, and its neighbours
        that the file cache holds in one piece, up to 2 MiB, count with it.

        Args:
            spans: First byte, counted from the tensor's own, and number of bytes of each piece.

        Raises:
            InputError: If the file is gone or has become too short.
        """
        with self._open() as source:
            return [self._read(source, start, count) for start, count in spans]

    def _read(self, source: IO[bytes], start: int, count: int) -> bytes:
        data = os.pread(source.fileno(), count, (self.offset or 0) + start)
        if len(data) < count:
            raise self._too_short()
        return data

    def _map(self) -> Array:
        shape = tuple(self.shape.numpy())
        if self.dtype.bitwidth < 8:
            return ir.PackedTensor(self._bytes(), self.dtype, shape=self.shape).numpy()
        return self._bytes().view(self.dtype.numpy().newbyteorder("<")).reshape(shape)

    def _bytes(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if not self.nbytes:
            return np.empty(0, np.uint8)
        offset = self.offset or 0
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        with self._open() as source:
            window = mmap.mmap(
                source.fileno(),
                offset + self.nbytes - start,
                access=mmap.ACCESS_READ,
                offset=start,
            )
        return np.frombuffer(window, np.uint8, count=self.nbytes, offset=offset - start)

    def _open(self) -> IO[bytes]:
        source = os.fdopen(open_regular(Path(self.path), what="external data file"), "rb")
        if os.fstat(source.fileno()).st_size < (self.offset or 0) + self.nbytes:
            source.close()
            raise self._too_short()
        return source

    def _too_short(self) -> InputError:
        return InputError(
            f"{self.path!r} has become too short for tensor {shown(self.name)}",
            where="reading external data",
            hint="do not change a model's files while it is compiled",
        )


def _copy(source: IO[bytes], offset: int, target: IO[bytes], count: int) -> None:
    target.flush()
    at = target.tell()
    end = offset + count
    while offset < end:
        copied = _copy_some(source.fileno(), offset, target.fileno(), at, end - offset)
        offset += copied
        at += copied
    target.seek(at)


def _copy_some(source: int, offset: int, target: int, at: int, count: int) -> int:
    """Copy up to ``count`` bytes and return how many; inside the kernel where it can."""
    try:
        copied = os.copy_file_range(source, target, min(count, _MOST_AT_ONCE), offset, at)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
        copied = 0
    if copied:
        return copied
    data = os.pread(source, min(count, _CHUNK), offset)
    if not data:
        raise OSError(errno.EIO, "the file became shorter while it was read")
    return os.pwrite(target, data, at)
