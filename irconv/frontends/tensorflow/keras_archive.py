"""Judging a ``.keras`` archive and copying what Keras needs of it.

An archive holds ``config.json``, ``metadata.json``, the weights as HDF5 and perhaps assets. The
copy holds the judged configuration without what only training needs, so that Keras reads
exactly what was judged.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from irconv.errors import InputError
from irconv.frontends.tensorflow.keras_config import dangers_of_config, parse_config
from irconv.frontends.torch_files.zip_structure import (
    copy_member,
    open_zip,
    read_member,
    write_member,
)

__all__ = ["CONFIG", "WEIGHTS", "KerasArchive", "copy_archive", "read_archive"]

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
_METADATA = "metadata.json"
_ASSET = re.compile(r"assets/.*")
_JSON_LIMIT = 1 << 28
_WHERE = "frontend tensorflow"


@dataclass(frozen=True)
class KerasArchive:
    """What an archive says of itself.

    Attributes:
        config: The model's configuration, without what only training needs.
        version: The Keras that wrote it.
        weight_bytes: Size of the file of weights.
        dangers: What loading it would run or read; empty for an honest file.
    """

    config: Mapping[str, Any]
    version: str
    weight_bytes: int
    dangers: tuple[str, ...]


def read_archive(stream: IO[bytes]) -> KerasArchive:
    """Judge a ``.keras`` archive.

    Raises:
        InputError: If it is no archive of Keras, or damaged.
    """
    with open_zip(stream, "the .keras file") as archive:
        return _read(archive)


def _read(archive: zipfile.ZipFile) -> KerasArchive:
    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    if CONFIG not in members:
        raise InputError(
            f"the .keras file has no {CONFIG}, so nothing says what the model is",
            where=_WHERE,
            hint="save the whole model by model.save('model.keras')",
        )
    config = parse_config(read_member(archive, members[CONFIG], _JSON_LIMIT), CONFIG)
    dangers = dangers_of_config(config)
    dangers += [
        f"member {name[:120]!r} is no part of a Keras archive"
        for name in members
        if name not in (CONFIG, WEIGHTS, _METADATA) and not _ASSET.fullmatch(name)
    ]
    if WEIGHTS not in members:
        raise InputError(
            f"the .keras file has no {WEIGHTS}",
            where=_WHERE,
            hint="save it again; sharded weights are not read",
        )
    return KerasArchive(
        config, _version(archive, members), members[WEIGHTS].file_size, tuple(dangers)
    )


def _version(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> str:
    if _METADATA not in members:
        return ""
    try:
        metadata = json.loads(read_member(archive, members[_METADATA], _JSON_LIMIT))
    except (ValueError, RecursionError):
        return ""
    return str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""


def copy_archive(stream: IO[bytes], judged: KerasArchive, path: Path, weights: Path) -> None:
    """Write the judged archive to ``path`` and its weights, to be judged too, to ``weights``.

    Args:
        stream: The archive that was judged.
        judged: What :func:`read_archive` returned, without dangers.
        path: The ``.keras`` file to write.
        weights: The ``.h5`` file to write.
    """
    with open_zip(stream, "the .keras file") as archive, zipfile.ZipFile(path, "x") as target:
        for member in archive.infolist():
            if member.filename == CONFIG or member.is_dir():
                continue
            copy_member(archive, member, target, member.filename)
            if member.filename == WEIGHTS:
                with archive.open(member) as source, weights.open("xb") as file:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
        write_member(target, CONFIG, io.BytesIO(json.dumps(judged.config).encode()))
