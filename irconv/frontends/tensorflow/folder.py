"""The folder of a SavedModel: which files belong to it, and a judged copy of it.

The copy holds the program itself, and links to the files of variables and assets, which may be
large. Each of those is a regular file inside the folder, so that no link leads elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from irconv.errors import InputError
from irconv.frontends.tensorflow.saved_model import MetaGraph
from irconv.graph.preflight.messages import shown
from irconv.graph.reading.external_data import is_repository_blob
from irconv.graph.reading.regular_file import open_regular

__all__ = ["PROGRAM", "TEXT_PROGRAM", "data_files", "link_folder", "root_of"]

PROGRAM = "saved_model.pb"
TEXT_PROGRAM = "saved_model.pbtxt"
_WHERE = "frontend tensorflow"
_INDEX = "variables/variables.index"
_MAX_FILES = 100_000


def root_of(source: str) -> Path:
    """Return the folder of a SavedModel that is named by the folder or the file in it."""
    path = Path(source)
    return path if path.is_dir() else path.parent


def data_files(root: Path, meta: MetaGraph) -> list[str]:
    """Return the paths below ``root`` of variables and assets.

    Raises:
        InputError: If variables or assets are missing, or a path leads out of the folder.
    """
    names = [
        file.relative_to(root).as_posix()
        for folder in ("variables", "assets")
        for file in sorted((root / folder).rglob("*"))[:_MAX_FILES]
        if not file.is_dir()
    ]
    if meta.has_variables and _INDEX not in names:
        raise InputError(
            f"the SavedModel has variables, but {_INDEX} is missing, so it has no weights",
            where=_WHERE,
            hint="copy the whole folder with its variables, or save the model again",
        )
    for name in meta.assets:
        _check_asset(name)
        if f"assets/{name}" not in names:
            raise InputError(
                f"the SavedModel's asset {shown(name)} is missing",
                where=_WHERE,
                hint="copy the whole folder with its assets, or save the model again",
            )
    for name in names:
        _check_file(root, name)
    return names


def _check_asset(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise InputError(
            f"the SavedModel's asset {shown(name)} lies outside its folder",
            where=_WHERE,
            hint="no exporter writes such a path; do not use the file",
        )


def _check_file(root: Path, name: str) -> None:
    real, inside = Path(os.path.realpath(root / name)), Path(os.path.realpath(root))
    if not real.is_relative_to(inside) and not is_repository_blob(real, inside):
        raise InputError(
            f"{name} of the SavedModel leads to {str(real)!r}, outside its folder",
            where=_WHERE,
            hint="copy the file itself into the folder, in place of the link",
        )
    os.close(open_regular(real, what="file of the SavedModel"))


def link_folder(root: Path, names: Sequence[str], copy: Path) -> None:
    """Link the files of variables and assets into the folder of the judged copy."""
    for name in names:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.realpath(root / name))
