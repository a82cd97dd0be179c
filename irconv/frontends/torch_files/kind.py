"""Telling PyTorch's files apart by what is in them, not by their suffix."""

from __future__ import annotations

import os
import zipfile
from enum import Enum
from pathlib import Path
from typing import IO

from irconv.errors import IrconvError
from irconv.graph.reading.regular_file import open_regular

__all__ = ["FileKind", "kind_of_path", "kind_of_stream"]

_SAFETENSORS_HEADER = 100_000_000
_OLD_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"


class FileKind(Enum):
    """What a file is, in the words of messages."""

    PROGRAM = "an exported program"
    SCRIPT = "a TorchScript archive"
    OBJECTS = "weights or a pickled object"
    OLD_OBJECTS = "weights or a pickled object in the format before PyTorch 1.6"
    SAFETENSORS = "weights in the safetensors format"
    ZIP = "a zip archive, but none that PyTorch writes"
    OTHER = "no file that PyTorch writes"


def kind_of_path(source: str) -> FileKind | None:
    """Return what the file at a path is; None where there is no regular file to read."""
    try:
        descriptor = open_regular(Path(source), what="model file")
    except IrconvError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return kind_of_stream(stream)


def kind_of_stream(stream: IO[bytes]) -> FileKind:
    """Return what a seekable stream holds, from its first bytes or the index of its archive."""
    stream.seek(0)
    start = stream.read(len(_OLD_PICKLE))
    if start.startswith(b"PK"):
        return _kind_of_archive(stream)
    if start == _OLD_PICKLE:
        return FileKind.OLD_OBJECTS
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 2 <= header <= _SAFETENSORS_HEADER:
        return FileKind.SAFETENSORS
    return FileKind.OTHER


def _kind_of_archive(stream: IO[bytes]) -> FileKind:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return FileKind.ZIP
    inner = {name.partition("/")[2] for name in names}
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return FileKind.PROGRAM
    code = any(name.startswith("code/") for name in inner)
    if "constants.pkl" in inner or (code and inner & {"data.pkl", "model.json"}):
        return FileKind.SCRIPT
    if "data.pkl" in inner:
        return FileKind.OBJECTS
    return FileKind.ZIP
