"""TensorFlow in a worker: one process opens, converts and runs a model.

TensorFlow is imported when a model is opened, not before: the same worker looks into HDF5 files
first.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import UsageError
from irconv.frontends.names import free_name
from irconv.runtime.service import RunnerService
from irconv.shapes import InputSpec

if TYPE_CHECKING:
    from irconv.frontends.tensorflow.source import Source
    from irconv.runtime.base import TensorSpec

__all__ = ["TensorflowService"]

_Stated = Sequence[tuple[str, Sequence[int | str | None], str | None]]
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


class TensorflowService(RunnerService):
    """Holds one model, from its source to its reference outputs."""

    def __init__(self) -> None:
        super().__init__()
        os.environ.update(_ENVIRONMENT)
        for name in ("absl", "tensorflow", "tf2onnx"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._source: Source | None = None
        self._inputs: tuple[TensorSpec, ...] = ()

    def read_hdf5(self, path: str) -> dict[str, Any]:
        """Judge an HDF5 file and return what it holds; ``config`` is its JSON as text."""
        from irconv.frontends.tensorflow.hdf5 import read_hdf5

        file = read_hdf5(Path(path))
        return {
            "config": None if file.config is None else file.config.decode("utf-8", "replace"),
            "version": file.version,
            "parameters": file.parameters,
            "parameter_bytes": file.parameter_bytes,
        }

    def write_binary(self, text: str, path: str) -> None:
        """Write a SavedModel in text form as ``saved_model.pb``."""
        from irconv.frontends.tensorflow.signatures import write_binary

        write_binary(Path(text), Path(path))

    def load_keras(self, path: str, inputs: _Stated, *, trust: bool) -> None:
        """Load a ``.keras`` or ``.h5`` file that irconv judged, or any under ``trust``.

        Raises:
            InputError: If Keras cannot read or trace it.
        """
        from irconv.frontends.tensorflow.keras_model import load_model, open_model

        if trust:
            sys.path.insert(0, str(Path.cwd()))
        self._open(open_model(load_model(Path(path), trust=trust), _specs(inputs)), inputs)

    def load_factory(self, target: str, inputs: _Stated) -> None:
        """Build a Keras model by ``package.module:factory``.

        Raises:
            InputError: If the factory fails or the model cannot be traced.
        """
        from irconv.frontends.tensorflow.keras_model import build_model, open_model

        self._open(open_model(build_model(target), _specs(inputs)), inputs)

    def load_saved_model(
        self, folder: str, tags: Sequence[str], signature: str, inputs: _Stated
    ) -> None:
        """Load a SavedModel that irconv judged.

        Raises:
            InputError: If TensorFlow cannot load it.
        """
        from irconv.frontends.tensorflow.signatures import open_saved_model

        self._open(open_saved_model(Path(folder), tags, signature), inputs)

    def load_graph(
        self, path: str, names: Sequence[str], outputs: Sequence[str], inputs: _Stated
    ) -> None:
        """Load a frozen graph that irconv judged.

        Raises:
            InputError: If TensorFlow cannot import it.
        """
        from irconv.frontends.tensorflow.frozen import open_graph

        self._open(open_graph(Path(path), names, outputs), inputs)

    def _open(self, source: Source, inputs: _Stated) -> None:
        from irconv.frontends.tensorflow.dimensions import name_dimensions
        from irconv.frontends.tensorflow.runner import TensorflowRunner

        self._inputs = name_dimensions(source.inputs, _specs(inputs))
        self._source = _apart(source)
        self._runner = TensorflowRunner(self._source)

    def export(self, path: str, opset: int) -> dict[str, Any]:
        """Write the model as ONNX.

        Args:
            path: The ``.onnx`` file to write.
            opset: The opset to write.

        Returns:
            ``notes``: what was changed.

        Raises:
            UnsupportedError: If an operator has no translation to ONNX.
        """
        from irconv.frontends.tensorflow.convert import to_onnx

        if self._source is None:
            raise UsageError("nothing is open in this worker", where="worker")
        to_onnx(self._source.freeze(), self._inputs, self._source.outputs, Path(path), opset)
        return {"notes": self._source.notes}


def _apart(source: Source) -> Source:
    """Rename outputs that are called like an input, as ONNX knows one value of a name only."""
    taken = {spec.name for spec in source.inputs}
    names = tuple(free_name(name, taken) for name in source.outputs)
    notes = [
        f"output {old!r} is called {new!r}, since an input has its name"
        for old, new in zip(source.outputs, names, strict=True)
        if old != new
    ]
    return dataclasses.replace(source, outputs=names, notes=[*source.notes, *notes])


def _specs(inputs: _Stated) -> list[InputSpec]:
    return [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
