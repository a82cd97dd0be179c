"""Reading a model file into its message, weights left in the file.

A small file is read whole. A large one is mapped and its large tensors are carved out, so that
neither the file nor its weights are ever held in memory.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irconv.errors import InputError
from irconv.graph.reading.regular_file import open_regular, peek
from irconv.graph.reading.wire import Carved, Span, WireError, carve

if TYPE_CHECKING:
    import onnx

__all__ = ["ModelFile", "looks_like_onnx", "read_model_file"]

WHOLE_FILE_LIMIT = 16 << 20
"""A file of at most this many bytes is read whole."""
_CARVED_TENSOR = 64 << 10
_MEMORY_PER_BYTE = 4
"""Bytes of memory that a byte of weights inside the graph takes while it is read."""
_WHERE = "reading the model"

_KNOWN_FORMATS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "run: git lfs pull"),
    (b"PK\x03\x04", "a zip archive (a PyTorch file or a .keras file?)",
     "give the file its own suffix, .pt2 or .pt, so that the right frontend reads it"),
    (b"<", "a text or web page", "download the model again; the address may need a log-in"),
    (b"{", "JSON text", "give the .onnx file that belongs to it"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "give it the suffix .h5"),
    (b"\x93NUMPY", "a NumPy array", "give the model file"),
)  # fmt: skip


@dataclass(frozen=True)
class ModelFile:
    """A model file that was read.

    Attributes:
        path: The file that was really opened, links followed.
        message: The model's message; large tensors have tokens in place of their data.
        carved: Returns the span of a token, or None for plain data.
        bytes: Size of the file.
        notes: What was left out, in plain words.
    """

    path: Path
    message: onnx.ModelProto
    carved: Callable[[bytes], Span | None]
    bytes: int
    notes: tuple[str, ...]


def looks_like_onnx(path: Path) -> bool:
    """Say whether a file starts like an ONNX message, from its first bytes.

    Every writer puts ``ir_version`` first, then a producer's name, the graph or another field
    of ``ModelProto``.
    """
    head = peek(path, 3)
    return len(head) == 3 and head[0] == 0x08 and head[1] < 0x80 and head[2] in _SECOND_TAGS


_SECOND_TAGS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72})


def read_model_file(path: Path, *, whole_file_limit: int = WHOLE_FILE_LIMIT) -> ModelFile:
    """Read and parse a model file.

    Args:
        path: The file; links are followed.
        whole_file_limit: A file of more bytes keeps its large tensors mapped.

    Raises:
        InputError: If the file cannot be read, is cut off, or is no ONNX model.
    """
    descriptor = open_regular(path, what="model file")
    try:
        status = os.fstat(descriptor)
        if status.st_size == 0:
            raise _not_onnx(path, "it is empty", "export or copy the model again")
        with mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ) as mapped:
            carved = _carve(mapped, path, status.st_size > whole_file_limit)
    finally:
        os.close(descriptor)
    _check_memory(len(carved.skeleton), path)
    message = _parse(carved.skeleton, path)
    notes = ("the model's training information is left out",) if carved.has_training_info else ()

    def span(data: bytes) -> Span | None:
        number = carved.tokens.number(data)
        return None if number is None else carved.spans[number]

    return ModelFile(Path(os.path.realpath(path)), message, span, status.st_size, notes)


def _carve(mapped: mmap.mmap, path: Path, large: bool) -> Carved:
    for magic, what, hint in _KNOWN_FORMATS:
        if mapped[: len(magic)] == magic:
            raise _not_onnx(path, f"it is {what}", hint)
    threshold = _CARVED_TENSOR if large else len(mapped) + 1
    try:
        with memoryview(mapped) as view:
            return carve(view, threshold)
    except WireError as error:
        raise _damaged(path, str(error)) from error


def _parse(skeleton: bytes, path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        message = onnx.ModelProto.FromString(skeleton)
    except DecodeError as error:
        raise _damaged(path, _reason(skeleton)) from error
    if not message.HasField("graph") or not message.HasField("ir_version"):
        raise _damaged(path, "it has no graph")
    return message


def _reason(skeleton: bytes) -> str:
    """Say why protobuf refused a message: find where it is cut off, or that it is nested."""
    try:
        with memoryview(skeleton) as view:
            carve(view, 1)
    except WireError as error:
        return str(error)
    return "its content does not follow the ONNX format"


def _check_memory(size: int, path: Path) -> None:
    import psutil

    available = psutil.virtual_memory().available
    if size * _MEMORY_PER_BYTE > available:
        raise InputError(
            f"the graph of {str(path)!r} takes {size / 2**30:.2f} GiB without its large tensors; "
            f"reading it takes about {size * _MEMORY_PER_BYTE / 2**30:.1f} GiB of memory, and "
            f"{available / 2**30:.1f} GiB are free",
            where=_WHERE,
            hint="use a machine with more memory, or keep the weights in external data",
        )


def _damaged(path: Path, reason: str) -> InputError:
    return _not_onnx(
        path,
        f"it is cut off, damaged or of another format: {reason}",
        "copy or export the model again",
    )


def _not_onnx(path: Path, problem: str, hint: str) -> InputError:
    return InputError(f"{str(path)!r} is not an ONNX model: {problem}", where=_WHERE, hint=hint)
