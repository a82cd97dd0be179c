"""Inputs and outputs of a single run as files: ``.npy`` per input, or one ``.npz``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from irconv.errors import InputError
from irconv.graph.atomic import publish_files, staging_directory
from irconv.runtime.base import TensorSpec, Value
from irconv.runtime.values import dtype_name, load_samples, numpy_dtype

__all__ = ["read_inputs", "write_outputs"]


def read_inputs(texts: Sequence[str], specs: Sequence[TensorSpec]) -> dict[str, Value]:
    """Read one sample from ``NAME=FILE.npy`` texts, or from one ``FILE.npz``.

    Nothing is unpickled, and an array larger than its file is refused.

    Raises:
        InputError: If a file, a name, a dtype or a rank does not fit ``specs``.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator and text.endswith(".npz"):
            values |= load_samples(Path(text))[0]
        elif separator and path.endswith(".npy"):
            values[name] = _read_array(Path(path))
        else:
            raise InputError(
                f"--input {text!r} is neither NAME=FILE.npy nor FILE.npz",
                where="inputs",
                hint="the model takes: " + "; ".join(str(spec) for spec in specs),
            )
    for spec in specs:
        if spec.name in values:
            _check(values[spec.name], spec)
    return values


def _read_array(path: Path) -> Value:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read {path}: {error}", where="inputs") from error
    return np.array(mapped)


def _check(value: Value, spec: TensorSpec) -> None:
    if not isinstance(value, np.ndarray):
        return
    found = dtype_name(value.dtype)
    if found != spec.dtype:
        raise InputError(
            f"input {spec.name!r} is {found}, but the model takes {spec}",
            where="inputs",
            hint=f"save it as {numpy_dtype(spec.dtype)}",
        )
    shape = spec.shape
    if shape is None:
        return
    fits = len(shape) == value.ndim and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"input {spec.name!r} has shape {list(value.shape)}, but the model takes {spec}",
            where="inputs",
        )


def write_outputs(path: Path, outputs: Mapping[str, Value]) -> None:
    """Write outputs as an ``.npz`` with a plain array per output, atomically.

    Raises:
        InputError: If an output is no tensor, or the file cannot be written.
    """
    nested = [name for name, value in outputs.items() if not isinstance(value, np.ndarray)]
    if nested:
        raise InputError(f"outputs {nested} are sequences or maps, which .npz cannot hold")
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    with staging_directory(path) as staging:
        np.savez(staging / path.name, **arrays)  # type: ignore[arg-type]
        publish_files([(staging / path.name, path)])
