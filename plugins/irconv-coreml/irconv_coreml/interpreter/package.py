"""Opening a saved ``.mlpackage``: its manifest, the specification, the functions and features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from irconv.errors import InputError
from irconv_coreml.interpreter.features import FeatureType, decode_features
from irconv_coreml.interpreter.messages import parse_model
from irconv_coreml.interpreter.program import Function, decode_functions
from irconv_coreml.interpreter.types import TensorType
from irconv_coreml.interpreter.weights import WeightFile

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["Package", "Signature", "open_package"]

_MODEL_PATH = "@model_path/"


@dataclass(frozen=True)
class Signature:
    """The features of a function: what a caller sees."""

    inputs: Mapping[str, FeatureType]
    outputs: Mapping[str, FeatureType]
    states: Mapping[str, FeatureType]


@dataclass(frozen=True)
class Package:
    """An opened package.

    Attributes:
        specification_version: The version that decides which Core ML can load it.
        functions: The functions of its program, by name.
        signatures: The features of each function, by its name.
        default_function: Name of the function that runs when none is asked for.
        blob_count: How many blobs its weight files hold.
    """

    specification_version: int
    functions: Mapping[str, Function]
    signatures: Mapping[str, Signature]
    default_function: str
    blob_count: int


def open_package(path: Path) -> Package:
    """Read a package; its weights are mapped and not copied.

    Args:
        path: The folder ``*.mlpackage``.

    Raises:
        InputError: If it is no complete package of an ML Program.
    """
    model_path = _root_model(path)
    try:
        model = parse_model(model_path.read_bytes())
    except (OSError, DecodeError) as error:
        raise _broken(f"has no readable specification: {error}") from error
    if not model.HasField("mlProgram"):
        raise _broken("holds no ML Program")
    files = _WeightFiles(model_path.parent)
    functions = decode_functions(model.mlProgram, files.read)
    description = model.description
    if description.functions:
        signatures = {entry.name: _signature(entry) for entry in description.functions}
        default = description.defaultFunctionName or "main"
    else:
        signatures = {"main": _signature(description)}
        default = "main"
    if set(signatures) != set(functions) or default not in functions:
        raise _broken(
            f"describes the functions {sorted(signatures)}, {default!r} by default, and its "
            f"program has {sorted(functions)}"
        )
    return Package(model.specificationVersion, functions, signatures, default, files.blob_count)


def _signature(message: Any) -> Signature:
    return Signature(
        decode_features(message.input),
        decode_features(message.output),
        decode_features(message.state),
    )


def _root_model(path: Path) -> Path:
    """Return the path of the specification, as the package's manifest names it."""
    try:
        manifest = json.loads((path / "Manifest.json").read_bytes())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(f"has no readable Manifest.json: {error!r}") from error
    return _inside(path / "Data", entry)


def _inside(folder: Path, relative: str) -> Path:
    parts = PurePosixPath(relative).parts
    if not parts or PurePosixPath(relative).is_absolute() or ".." in parts:
        raise _broken(f"names a file outside of itself: {relative!r}")
    return folder.joinpath(*parts)


class _WeightFiles:
    def __init__(self, model_folder: Path) -> None:
        self._folder = model_folder
        self._open: dict[str, WeightFile] = {}

    @property
    def blob_count(self) -> int:
        return sum(file.count for file in self._open.values())

    def read(self, name: str, offset: int, declared: TensorType) -> Array:
        if name not in self._open:
            if not name.startswith(_MODEL_PATH):
                raise _broken(f"names a weight file outside of itself: {name!r}")
            path = _inside(self._folder, name.removeprefix(_MODEL_PATH))
            self._open[name] = WeightFile(path)
        return self._open[name].read(offset, declared)


def _broken(what: str) -> InputError:
    return InputError(
        f"the Core ML package {what}", where="Core ML package", hint="make the package again"
    )
