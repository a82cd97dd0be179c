"""The user's own inputs: ``--data``.

One ``.npz`` file is one sample, with one array per input; a file that irconv wrote may hold
several. A folder of ``.npz`` files is one sample a file, sorted by name. A folder of ``.npy``
files is one sample, one file an input. Nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from irconv.errors import InputError
from irconv.runtime.base import Array, TensorSpec, Value
from irconv.runtime.values import dtype_name, load_array, load_samples, numpy_dtype

__all__ = ["MAX_FILES", "fit_sample", "load_data"]

MAX_FILES = 1000
"""The most files of a folder that are read."""


def load_data(path: Path, specs: Sequence[TensorSpec]) -> list[dict[str, Value]]:
    """Read samples and fit them to the inputs of a model.

    Values of another dtype are converted where every value survives (int32 to int64, float32
    to float64; float64 to float32 too, because that is what NumPy makes by default).

    Args:
        path: A ``.npz`` file, or a folder of ``.npz`` or of ``.npy`` files.
        specs: The inputs that the model asks for.

    Raises:
        InputError: If the data cannot be read or do not fit, with the inputs that are expected.
    """
    samples = _read(path)
    if not samples:
        raise InputError(f"{path} holds no sample", where="data", hint=_expected(specs))
    return [fit_sample(sample, specs, f"sample {number}") for number, sample in enumerate(samples)]


def _read(path: Path) -> list[dict[str, Value]]:
    if not path.is_dir():
        return load_samples(path)
    archives = sorted(path.glob("*.npz"))
    arrays = sorted(path.glob("*.npy"))
    if max(len(archives), len(arrays)) > MAX_FILES:
        raise InputError(
            f"{path} holds more than {MAX_FILES} files",
            where="data",
            hint="give fewer samples, or one .npz file",
        )
    if archives and arrays:
        raise InputError(
            f"{path} holds both .npz and .npy files",
            where="data",
            hint="one .npz a sample, or one .npy an input",
        )
    if arrays:
        return [{file.stem: load_array(file) for file in arrays}]
    return [sample for file in archives for sample in load_samples(file)]


def _expected(specs: Sequence[TensorSpec]) -> str:
    return "the model's inputs are: " + ("; ".join(map(str, specs)) or "none")


def fit_sample(
    sample: Mapping[str, Value], specs: Sequence[TensorSpec], where: str
) -> dict[str, Value]:
    """Return a sample's values in the order and dtypes of ``specs``.

    Args:
        sample: A value for each input.
        specs: The inputs.
        where: What the sample is called in messages.

    Raises:
        InputError: If a name, a dtype or a shape does not fit, or a value would not survive.
    """
    names = [spec.name for spec in specs]
    missing = [name for name in names if name not in sample]
    unknown = [name for name in sample if name not in names]
    if missing or unknown:
        faults = [f"lacks input {missing[0]!r}"] if missing else []
        faults += [f"has {unknown[0]!r}, which is no input of the model"] if unknown else []
        raise InputError(
            f"the data {' and '.join(faults)}", where=f"data, {where}", hint=_expected(specs)
        )
    sizes: dict[str, tuple[int, str]] = {}
    return {spec.name: _fit_value(sample[spec.name], spec, where, sizes) for spec in specs}


def _fit_value(
    value: Value, spec: TensorSpec, where: str, sizes: dict[str, tuple[int, str]]
) -> Value:
    if spec.kind != "tensor":
        return value
    if not isinstance(value, np.ndarray):
        raise _misfit(spec, "it is no tensor", where)
    _check_shape(value, spec, where, sizes)
    return _convert(value, spec, where)


def _misfit(spec: TensorSpec, why: str, where: str) -> InputError:
    return InputError(
        f"input {spec.name!r} does not fit: {why}",
        where=f"data, {where}",
        hint=f"the model expects {spec}",
    )


def _check_shape(
    array: Array, spec: TensorSpec, where: str, sizes: dict[str, tuple[int, str]]
) -> None:
    if spec.shape is None:
        return
    shape = ",".join(map(str, array.shape))
    if array.ndim != len(spec.shape):
        raise _misfit(spec, f"its shape is [{shape}]", where)
    for dim, size in zip(spec.shape, array.shape, strict=True):
        if isinstance(dim, int) and dim != size:
            raise _misfit(spec, f"its shape is [{shape}]", where)
        if isinstance(dim, str):
            known, owner = sizes.setdefault(dim, (size, spec.name))
            if known != size:
                raise _misfit(
                    spec, f"dimension {dim!r} is {size} here and {known} in {owner!r}", where
                )


def _convert(array: Array, spec: TensorSpec, where: str) -> Array:
    found = dtype_name(array.dtype)
    if found == spec.dtype or spec.dtype == "undefined":
        return array
    wanted = numpy_dtype(spec.dtype)
    if found == "string" or spec.dtype == "string":
        raise _misfit(spec, f"it is {found}", where)
    default_float = found == "float64" and spec.dtype in ("float32", "float16", "bfloat16")
    if default_float or np.can_cast(array.dtype, wanted, "safe"):
        with np.errstate(over="ignore"):
            converted = array.astype(wanted)
        if bool((np.isfinite(array) == np.isfinite(converted)).all()):
            return converted
    if array.dtype.kind in "iu" and wanted.kind in "iu":
        converted = array.astype(wanted)
        if bool((converted == array).all()) and bool(((converted < 0) == (array < 0)).all()):
            return converted
    raise _misfit(spec, f"it is {found}, and some values would not survive as {spec.dtype}", where)
