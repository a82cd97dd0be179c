"""Opening the files that a model keeps its weights in, without being led elsewhere.

A model states the location of its external data, and a hostile one states a location outside
its folder, a link that leads there, or something that is no file. Here a location is relative,
stays inside the model's folder after every link is followed, and is a regular file with one
name: a second hard link may be a private file of the user that an archive was unpacked onto.

One way out of the folder is allowed on purpose. The Hugging Face cache keeps
``<repo>/snapshots/<revision>/<file>`` as a link to ``<repo>/blobs/<digest>``, so a file of a
snapshot may lie in the ``blobs`` folder of the same repository.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown
from irconv.graph.reading.mapped import MappedTensor
from irconv.graph.reading.regular_file import open_regular

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ExternalFiles", "is_repository_blob"]

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_BLOB_NAME = re.compile(r"[0-9a-f]{32,128}")
_MOST_OVERLAP = 16
_WHERE = "reading external data"


@dataclass
class _File:
    path: Path
    bytes: int
    spans: set[tuple[int, int]] = field(default_factory=set)
    claimed: int = 0


class ExternalFiles:
    """The external data files of one model.

    Args:
        folder: The folder of the model file, as the user named it.
    """

    def __init__(self, folder: Path) -> None:
        self._root = Path(os.path.realpath(folder))
        self._files: dict[str, _File] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were opened, links followed, in the order of first use."""
        return tuple(dict.fromkeys(file.path for file in self._files.values()))

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum({file.path: file.bytes for file in self._files.values()}.values())

    def tensor(self, stated: ir.ExternalTensor) -> MappedTensor:
        """Return a tensor that is mapped from the file which was really opened.

        Args:
            stated: The tensor with location, offset and length as the model states them.

        Raises:
            InputError: If the location is refused or the file is too short.
        """
        label = f"tensor {shown(stated.name or '')}"
        file = self._file(os.fspath(stated.location), label)
        offset, length = stated.offset or 0, stated.nbytes
        if length > file.bytes or offset > file.bytes - length:
            raise InputError(
                f"{label} lies at bytes {offset:,} to {offset + length:,} of "
                f"{str(file.path)!r}, which has {file.bytes:,} bytes",
                where=_WHERE,
                hint="the file is cut off or belongs to another model; copy it again",
            )
        self._claim(file, offset, length)
        return MappedTensor(file.path, offset, stated)

    @staticmethod
    def _claim(file: _File, offset: int, length: int) -> None:
        """Refuse tensors that overlap so much that copying them out would fill the disk."""
        if (offset, length) in file.spans:
            return
        file.spans.add((offset, length))
        file.claimed += length
        if file.claimed > _MOST_OVERLAP * file.bytes:
            raise InputError(
                f"tensors overlap in {str(file.path)!r} so that they claim more than "
                f"{_MOST_OVERLAP} times its size",
                where=_WHERE,
                hint="the file is hostile or was made by a faulty exporter",
            )

    def _file(self, location: str, label: str) -> _File:
        if location not in self._files:
            self._files[location] = self._open(location, label)
        return self._files[location]

    def _open(self, location: str, label: str) -> _File:
        self._check_location(location, label)
        path = Path(os.path.realpath(self._root / location))
        if not path.is_relative_to(self._root) and not is_repository_blob(path, self._root):
            raise self._refusal(
                location,
                label,
                f"leads to {str(path)!r}, outside the model's folder",
                "copy the file itself into the model's folder, in place of the link",
            )
        descriptor = open_regular(path, what="external data file")
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_nlink > 1:
            raise self._refusal(
                location,
                label,
                f"has {status.st_nlink} hard links, so it may be a file from elsewhere",
                "if it is what you expect, make it a file of its own: copy it, and rename the "
                "copy over it",
            )
        return _File(path, status.st_size)

    def _check_location(self, location: str, label: str) -> None:
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
        parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
        if absolute or ".." in parts or "\0" in location:
            raise self._refusal(
                location,
                label,
                "leaves the model's folder",
                "external data must lie beside the model; export the model again with a "
                "relative location",
            )

    @staticmethod
    def _refusal(location: str, label: str, problem: str, hint: str) -> InputError:
        return InputError(
            f"{label}: its external data {shown(location)} {problem}", where=_WHERE, hint=hint
        )


def is_repository_blob(path: Path, folder: Path) -> bool:
    """Say whether a file is a blob of the Hugging Face repository that a folder is in.

    Args:
        path: The file, links followed.
        folder: The model's folder, links followed.
    """
    inside = folder.parts
    return any(
        part == _SNAPSHOTS
        and index + 1 < len(inside)
        and path.parent == Path(*inside[:index], _BLOBS)
        and _BLOB_NAME.fullmatch(path.name) is not None
        for index, part in enumerate(inside)
    )
