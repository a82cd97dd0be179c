"""Telling the forms of a TensorFlow model apart, and opening their files without TensorFlow."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, TypeVar

from irconv.errors import InputError
from irconv.frontends.factories import is_factory
from irconv.graph.reading.regular_file import open_regular
from irconv.graph.reading.wire import WireError

__all__ = ["Format", "copy_file", "format_of", "mapped", "opened", "parsed"]

_WHERE = "frontend tensorflow"
_T = TypeVar("_T")


class Format(Enum):
    """The forms that the frontend reads."""

    SAVED_MODEL = "SavedModel"
    KERAS = "Keras archive"
    HDF5 = "Keras HDF5"
    GRAPH = "frozen graph"
    FACTORY = "factory"


_SUFFIXES = {
    ".keras": Format.KERAS,
    ".h5": Format.HDF5,
    ".hdf5": Format.HDF5,
    ".pb": Format.GRAPH,
}
_PROGRAMS = ("saved_model.pb", "saved_model.pbtxt")


def format_of(source: str) -> Format | None:
    """Return the form of a source by its name and, for a folder, by what is in it."""
    path = Path(source)
    if is_factory(source):
        return Format.FACTORY
    if path.name in _PROGRAMS or any((path / name).is_file() for name in _PROGRAMS):
        return Format.SAVED_MODEL
    return _SUFFIXES.get(path.suffix.lower())


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file.

    Raises:
        InputError: If it is none, or empty.
    """
    with os.fdopen(open_regular(path, what="model file"), "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise InputError(
                f"{str(path)!r} is empty", where=_WHERE, hint="save or copy the model again"
            )
        yield stream


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file to a new place, so that what is judged is what is read."""
    with opened(source) as stream, target.open("xb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """Map a regular file."""
    with (
        opened(path) as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        yield view


def parsed(path: Path, what: str, read: Callable[[memoryview], _T]) -> _T:
    """Read a protobuf file.

    Args:
        path: The file.
        what: What it should be, for messages.
        read: Reads its bytes; the result holds none of them.

    Raises:
        InputError: If it is none.
    """
    with mapped(path) as view:
        try:
            return read(view)
        except WireError as error:
            raise InputError(
                f"{str(path)!r} is no {what}: {error}",
                where=_WHERE,
                hint="the file is cut off, damaged or of another kind; save the model again",
            ) from error
