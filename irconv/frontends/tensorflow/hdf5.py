"""Looking into an HDF5 file of Keras before Keras does.

This module needs h5py and is imported in the worker process only, since the HDF5 library is C
code that a damaged file may crash. An HDF5 file can name other files as the place of its data,
and claim sizes that are not there; Keras would follow both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from irconv.errors import InputError
from irconv.graph.preflight.messages import shown

__all__ = ["Hdf5File", "read_hdf5"]

_WHERE = "frontend tensorflow"
_MAX_RATIO = 200
_SMALL = 1 << 16
_MAX_OBJECTS = 1_000_000
_CONFIG_LIMIT = 1 << 28


@dataclass(frozen=True)
class Hdf5File:
    """What an HDF5 file holds.

    Attributes:
        config: The model's configuration as JSON; None in a file of weights only.
        version: The Keras that wrote it, where it says so.
        parameters: Elements of all datasets.
        parameter_bytes: Their bytes.
    """

    config: bytes | None
    version: str
    parameters: int
    parameter_bytes: int


def read_hdf5(path: Path) -> Hdf5File:
    """Check every object of a file and return what it holds; no dataset is read.

    Raises:
        InputError: If it is no HDF5 file, or leads to other files, or claims more data than it
            has.
    """
    try:
        with h5py.File(path, "r") as file:
            elements = size = 0
            for dataset in _datasets(file):
                elements += dataset.size
                size += dataset.nbytes
            version = file.attrs.get("keras_version", b"")
            return Hdf5File(_config(file), _text(version).decode("utf-8"), elements, size)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(
            f"it is no whole HDF5 file: {error}",
            where=_WHERE,
            hint="the file is truncated or of another kind; save the model again",
        ) from error


def _config(file: h5py.File) -> bytes | None:
    attribute = file.attrs.get_id("model_config") if "model_config" in file.attrs else None
    if attribute is None:
        return None
    if attribute.get_storage_size() > _CONFIG_LIMIT:
        raise _refusal("model_config", "is too large")
    return _text(file.attrs["model_config"])


def _text(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode()


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield every dataset, having judged every link and object on the way."""
    groups: list[h5py.Group] = [file]
    seen = 0
    while groups:
        group = groups.pop()
        for name in group:
            seen += 1
            if seen > _MAX_OBJECTS:
                raise _refusal(str(group.name), f"holds more than {_MAX_OBJECTS:,} objects")
            place = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refusal(place, "is a link, which may lead to another file")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(place, item)
                yield item


def _check_dataset(place: str, dataset: h5py.Dataset) -> None:
    if dataset.external is not None or dataset.is_virtual:
        raise _refusal(place, "has its data in another file")
    if dataset.dtype.kind == "O":
        return
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > _MAX_RATIO * max(stored, _SMALL):
        raise _refusal(place, f"claims {dataset.nbytes:,} bytes, but {stored:,} are stored")


def _refusal(place: str, what: str) -> InputError:
    return InputError(
        f"the HDF5 file is refused: {shown(place)} {what}",
        where=_WHERE,
        hint="Keras writes no such file; do not use it, or save the model again",
    )
