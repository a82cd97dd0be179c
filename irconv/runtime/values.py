"""Storing inputs and outputs in ``.npz`` files that need no pickle.

A file holds several samples. Tensors of dtypes that NumPy lacks (bfloat16, float8, int4) are
stored by their bits; sequences, maps and empty optionals are described by a JSON index, which
is the member ``__index__``. A plain ``.npz`` with one array per input reads as one sample.
"""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from irconv.errors import InputError
from irconv.runtime.base import Array, Feeds, Value

__all__ = [
    "MAX_RATIO",
    "dtype_name",
    "load_array",
    "load_samples",
    "numpy_dtype",
    "save_samples",
]

_INDEX = "__index__"
MAX_RATIO = 200
"""A file of more than 256 MiB of arrays may unpack to at most this many times its size."""
_ALWAYS_ALLOWED = 256 << 20

_EXTENSION_DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in (
        "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
        "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint4", "int2", "uint2",
    )
    if hasattr(ml_dtypes, name)
}  # fmt: skip


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a full dtype name; ``string`` is ``object``."""
    if name == "string":
        return np.dtype(object)
    return _EXTENSION_DTYPES.get(name) or np.dtype(name)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the full dtype name of a NumPy dtype, the inverse of :func:`numpy_dtype`."""
    return "string" if dtype.kind in "OUS" else dtype.name


def save_samples(path: Path, samples: Sequence[Feeds]) -> None:
    """Write samples to ``path``; byte-identical for equal content.

    Args:
        path: An ``.npz`` path; its folder must exist.
        samples: One mapping from name to value per sample.
    """
    arrays: dict[str, Array] = {}

    def pack(value: Value) -> dict[str, Any]:
        if value is None:
            return {"kind": "none"}
        if isinstance(value, (list, tuple)):
            return {"kind": "sequence", "items": [pack(item) for item in value]}
        if isinstance(value, dict):
            keys = [key.item() if isinstance(key, np.generic) else key for key in value]
            items = [pack(np.asarray(item)) for item in value.values()]
            return {"kind": "map", "keys": keys, "items": items}
        array = np.asarray(value)
        member = f"a{len(arrays)}"
        name = dtype_name(array.dtype)
        if name == "string":
            arrays[member] = _joined_texts(array)
            return {"kind": "strings", "member": member, "shape": list(array.shape)}
        arrays[member] = _to_native(array)
        return {"kind": "tensor", "member": member, "dtype": name}

    index = [{name: pack(value) for name, value in sample.items()} for sample in samples]
    arrays[_INDEX] = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    _write_npz(path, arrays)


def _write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(
                    file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False
                )


def _joined_texts(array: Array) -> Array:
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.flat]
    return np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)


def _to_native(array: Array) -> Array:
    if array.dtype.name in _EXTENSION_DTYPES:
        return array.view(f"u{array.dtype.itemsize}")
    return array


_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What zipfile and NumPy raise on broken, encrypted or hostile files."""


def load_array(path: Path) -> Array:
    """Read a ``.npy`` file of a plain array.

    Raises:
        InputError: If the file is none.
    """
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except _UNREADABLE as error:
        raise InputError(
            f"{path} is no .npy file of a plain array: {error}",
            where="data",
            hint="write it with numpy.save(path, array)",
        ) from error


def load_samples(path: Path) -> list[dict[str, Value]]:
    """Read the samples of an ``.npz`` file.

    Raises:
        InputError: If the file is no ``.npz`` of plain arrays, or would unpack to more than
            :data:`MAX_RATIO` times its size.
    """
    try:
        arrays = _read_npz(path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", where="data", hint="check the path") from error
    except _UNREADABLE as error:
        raise InputError(
            f"{path} is no .npz file of plain arrays: {error}",
            where="data",
            hint="write it with numpy.savez(path, input_name=array)",
        ) from error
    if _INDEX not in arrays:
        return [dict(arrays)]
    try:
        index = json.loads(arrays[_INDEX].tobytes())
        return [{name: _unpack(entry, arrays) for name, entry in row.items()} for row in index]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"the index of {path} is broken: {error}",
            where="data",
            hint="restore the file, or write it with numpy.savez(path, input_name=array)",
        ) from error


def _read_npz(path: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    limit = max(_ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > limit:
            raise ValueError(f"it would unpack to {total} bytes, more than {limit}")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as file:
                _check_header(file, entry.file_size)
            with archive.open(entry) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def _check_header(file: Any, available: int) -> None:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"unknown .npy version {version}")
    shape, _, dtype = read(file)
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if size > available:
        raise ValueError(f"its header claims {size} bytes, but only {available} are there")


def _unpack(entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> Value:
    kind = entry["kind"]
    if kind == "none":
        return None
    if kind == "sequence":
        return [_unpack(item, arrays) for item in entry["items"]]
    if kind == "map":
        return dict(zip(entry["keys"], [_unpack(i, arrays) for i in entry["items"]], strict=True))
    array: Array = arrays[entry["member"]]
    if kind == "strings":
        texts = json.loads(array.tobytes())
        strings: Array = np.array(texts, dtype=object)
        return strings.reshape(entry["shape"])
    extension = _EXTENSION_DTYPES.get(entry["dtype"])
    if extension is None:
        return array
    if array.dtype != np.dtype(f"u{extension.itemsize}"):
        raise ValueError(f"{array.dtype} cannot hold the bits of {extension}")
    restored: Array = array.view(extension)
    return restored
