"""Digests of tensors, read in pieces so that a weight in a file is never whole in memory."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.reading.mapped import MappedTensor

__all__ = ["TensorKey", "tensor_chunks", "tensor_digest"]

_CHUNK = 1 << 20
_SAMPLE = 1 << 10
_SMALL = 4 * _SAMPLE


def tensor_chunks(tensor: ir.TensorProtocol, chunk: int = _CHUNK) -> Iterator[bytes | memoryview]:
    """Yield the content of ``tensor`` as little-endian bytes, packed as ONNX ``raw_data`` is.

    Each string of a string tensor is one piece that begins with its length (8 bytes).

    Args:
        tensor: Any tensor; one in a file is read from there and not mapped.
        chunk: The most bytes in one piece of a numeric tensor.
    """
    if type(tensor) is MappedTensor:
        yield from tensor.chunks(chunk)
        return
    if tensor.dtype == ir.DataType.STRING:
        for text in _strings(tensor):
            yield len(text).to_bytes(8, "little") + text
        return
    array = _packed_bytes(tensor)
    if array is None:
        yield from _strided_chunks(tensor.numpy(), chunk)
        return
    view = array.data
    for start in range(0, len(view), chunk):
        yield view[start : start + chunk]


def _strings(tensor: ir.TensorProtocol) -> Iterator[bytes]:
    if isinstance(tensor, ir.StringTensor):
        yield from tensor.string_data()
        return
    for item in tensor.numpy().flat:
        yield item if isinstance(item, bytes) else str(item).encode()


def _packed_bytes(tensor: ir.TensorProtocol) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """Return the packed bytes without a copy where that can be; None if they are not adjacent."""
    if tensor.size == 0:
        return np.zeros(0, np.uint8)
    if tensor.dtype.bitwidth < 8:
        if isinstance(tensor, ir.PackedTensor):
            return tensor.numpy_packed().reshape(-1)
        if isinstance(tensor, ir.ExternalTensor):
            return _as_uint8(tensor).numpy()
        return np.frombuffer(tensor.tobytes(), np.uint8)
    array = np.asarray(tensor.numpy())
    if not array.flags.c_contiguous or _is_big_endian(array):
        return None
    return array.reshape(-1).view(np.uint8)


def _as_uint8(tensor: ir.ExternalTensor) -> MappedTensor:
    """Return another mapping of the same bytes; numpy() of a packed dtype would unpack them."""
    plain = ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.nbytes,
        ir.DataType.UINT8,
        shape=ir.Shape([tensor.nbytes]),
        name=tensor.name or "",
        base_dir=tensor.base_dir,
    )
    return MappedTensor(Path(tensor.path), tensor.offset or 0, plain)


def _is_big_endian(array: np.ndarray[Any, np.dtype[Any]]) -> bool:
    order = array.dtype.byteorder
    return order == ">" or (order == "=" and sys.byteorder == "big")


def _strided_chunks(array: np.ndarray[Any, np.dtype[Any]], chunk: int) -> Iterator[bytes]:
    items = max(1, chunk // array.dtype.itemsize)
    big_endian = _is_big_endian(array)
    for start in range(0, array.size, items):
        piece = array.flat[start : start + items]
        yield (piece.byteswap() if big_endian else piece).tobytes()


def tensor_digest(tensor: ir.TensorProtocol) -> str:
    """Return the SHA-256 of dtype, dims and content, as 64 hexadecimal digits.

    Equal tensors have equal digests in any process, however they are stored.
    """
    digest = hashlib.sha256(_head(tensor).encode())
    for piece in tensor_chunks(tensor):
        digest.update(piece)
    return digest.hexdigest()


def _head(tensor: ir.TensorProtocol) -> str:
    return f"{tensor.dtype.name}[{','.join(str(dim) for dim in tensor.shape)}]\n"


class TensorKey:
    """A dictionary key that is equal for tensors of equal dtype, dims and content.

    The hash reads at most 3 KiB of the tensor; the whole is read only where another key has
    the same hash.
    """

    __slots__ = ("_digest", "_head", "_sample", "_tensor")

    def __init__(self, tensor: ir.TensorProtocol) -> None:
        self._tensor = tensor
        self._head = _head(tensor)
        self._sample, complete = _sample(tensor)
        self._digest = self._sample if complete else ""

    def __hash__(self) -> int:
        return hash((self._head, self._sample))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorKey):
            return NotImplemented
        if self._tensor is other._tensor:
            return True
        if (self._head, self._sample) != (other._head, other._sample):
            return False
        return self._full() == other._full()

    def _full(self) -> str:
        self._digest = self._digest or tensor_digest(self._tensor)
        return self._digest


def _sample(tensor: ir.TensorProtocol) -> tuple[str, bool]:
    """Return a digest of the first, middle and last bytes, and whether those are all bytes.

    Types are compared themselves: ``onnx_ir``'s are protocols, for which ``isinstance`` takes ten
    microseconds where it is false.
    """
    digest = hashlib.sha256()
    if type(tensor) is MappedTensor and tensor.nbytes > _SMALL:
        starts = (0, tensor.nbytes // 2, tensor.nbytes - _SAMPLE)
        for sample in tensor.read((start, _SAMPLE) for start in starts):
            digest.update(sample)
        return digest.hexdigest(), False
    packed = None if tensor.dtype == ir.DataType.STRING else _packed_bytes(tensor)
    if packed is None and tensor.dtype != ir.DataType.STRING and tensor.nbytes > _SMALL:
        array = tensor.numpy()
        items = _SAMPLE // array.dtype.itemsize
        for start in (0, array.size // 2, array.size - items):
            strided = array.flat[start : start + items].astype(array.dtype.newbyteorder("<"))
            digest.update(strided.tobytes())
        return digest.hexdigest(), False
    if packed is None or packed.size <= _SMALL:
        for piece in tensor_chunks(tensor):
            digest.update(piece)
        return digest.hexdigest(), True
    middle = packed.size // 2
    for start in (0, middle, packed.size - _SAMPLE):
        digest.update(packed[start : start + _SAMPLE].tobytes())
    return digest.hexdigest(), False
