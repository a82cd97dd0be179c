"""Inputs and outputs of a single run as files: ``.npy`` per input, or one ``.npz``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from irconv.errors import InputError
from irconv.graph.atomic import publish_files, staging_directory
from irconv.runtime.base import TensorSpec, Value
from irconv.runtime.values import load_array, load_samples
from irconv.verify.data import fit_sample

__all__ = ["read_inputs", "write_outputs"]


def read_inputs(
    texts: Sequence[str], specs: Sequence[TensorSpec], optional: Collection[str] = ()
) -> dict[str, Value]:
    """Read one sample from ``NAME=FILE.npy`` texts, or from one ``FILE.npz``.

    Nothing is unpickled, and an array larger than its file is refused.

    Args:
        texts: What the user gave.
        specs: The model's inputs.
        optional: Names of inputs that may be left out.

    Raises:
        InputError: If a file, a name, a dtype or a rank does not fit ``specs``.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator and text.endswith(".npz"):
            values |= load_samples(Path(text))[0]
        elif separator and path.endswith(".npy"):
            values[name] = load_array(Path(path))
        else:
            raise InputError(
                f"--input {text!r} is neither NAME=FILE.npy nor FILE.npz",
                where="inputs",
                hint="the model takes: " + "; ".join(str(spec) for spec in specs),
            )
    wanted = [spec for spec in specs if spec.name in values or spec.name not in optional]
    return fit_sample(values, wanted, "--input")


def write_outputs(path: Path, outputs: Mapping[str, Value]) -> None:
    """Write outputs as an ``.npz`` with a plain array per output, atomically.

    Raises:
        InputError: If an output is no tensor, or the file cannot be written.
    """
    nested = [name for name, value in outputs.items() if not isinstance(value, np.ndarray)]
    if nested:
        raise InputError(
            f"outputs {nested} are sequences or maps, which .npz cannot hold",
            where="outputs",
            hint="run the bundle by irconv.run in Python",
        )
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    with staging_directory(path) as staging:
        np.savez(staging / path.name, **arrays)  # type: ignore[arg-type]
        publish_files([(staging / path.name, path)])
