"""Running a TFLite model in LiteRT's interpreter, with XNNPACK."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import BackendError, Diagnostic, InputError, UnsupportedError
from irconv.runtime.base import Array, Feeds, Runner, Value
from irconv.runtime.values import numpy_dtype
from irconv_tflite.sdk import load_interpreter_module, quiet

if TYPE_CHECKING:
    from irconv.backends.base import Artifact

__all__ = ["TfliteRunner"]

_THREADS = 2


class TfliteRunner(Runner):
    """A loaded TFLite model.

    Args:
        directory: The artifact's directory.
        artifact: The artifact; its data gives the source's names and dtypes.

    Raises:
        MissingError: If LiteRT is not installed.
        UnsupportedError: If the interpreter refuses the model.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        module = load_interpreter_module()
        self._inputs: list[Mapping[str, Any]] = list(artifact.data["inputs"])
        self._outputs: list[Mapping[str, Any]] = list(artifact.data["outputs"])
        try:
            with quiet():
                self._interpreter = module.Interpreter(
                    model_path=str(directory / artifact.main), num_threads=_THREADS
                )
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError(
                "tflite", [Diagnostic("LOAD", f"LiteRT says: {_first_line(error)}")], where="open"
            ) from error
        self._shapes: list[tuple[int, ...]] | None = None

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._interpreter is None:
            raise BackendError("the runner is closed", where="run")
        arrays = [_tensor(entry["name"], feeds[entry["name"]]) for entry in self._inputs]
        arrays = [
            _to_artifact(array, entry) for array, entry in zip(arrays, self._inputs, strict=True)
        ]
        try:
            with quiet():
                self._resize(arrays)
                for detail, array in zip(
                    self._interpreter.get_input_details(), arrays, strict=True
                ):
                    self._interpreter.set_tensor(detail["index"], array)
                self._interpreter.invoke()
                results = [
                    self._output(detail) for detail in self._interpreter.get_output_details()
                ]
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"LiteRT: {_first_line(error)}", where="run") from error
        return {
            entry["name"]: _to_source(array, entry)
            for array, entry in zip(results, self._outputs, strict=True)
        }

    def _output(self, detail: Mapping[str, Any]) -> Array:
        """Return an output; LiteRT's Python interface refuses to give an empty one."""
        if 0 in detail["shape"]:
            return np.zeros(tuple(detail["shape"]), detail["dtype"])
        array: Array = self._interpreter.get_tensor(detail["index"])
        return array

    def _resize(self, arrays: list[Array]) -> None:
        shapes = [array.shape for array in arrays]
        if shapes == self._shapes:
            return
        details = self._interpreter.get_input_details()
        for detail, shape, entry in zip(details, shapes, self._inputs, strict=True):
            if tuple(detail["shape"]) == shape:
                continue
            fixed = detail["shape_signature"]
            if len(fixed) != len(shape) or any(
                size not in (-1, given) for size, given in zip(fixed, shape, strict=True)
            ):
                raise InputError(
                    f"input {entry['name']!r} has shape {list(shape)}, and the artifact takes "
                    f"{['?' if size < 0 else int(size) for size in fixed]}",
                    where="tflite",
                    hint="give it that shape, or compile the model with dynamic dimensions",
                )
            self._interpreter.resize_tensor_input(detail["index"], shape, strict=False)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def describe(self) -> dict[str, str]:
        """Return what ran."""
        return {
            "runtime": "litert",
            "version": importlib.metadata.version("ai-edge-litert"),
            "device": "CPU, XNNPACK",
            "precision": "f32",
        }

    def close(self) -> None:
        """Free the interpreter; a runner may be closed twice."""
        self._interpreter = None


def _tensor(name: str, value: Value) -> Array:
    if value is None or isinstance(value, (list, dict)):
        raise InputError(f"input {name!r} must be a tensor", where="tflite")
    return np.asarray(value)


def _to_artifact(array: Array, entry: Mapping[str, Any]) -> Array:
    """Bring an input into the artifact's layout and dtype."""
    array = array.astype(numpy_dtype(entry["dtype"]), copy=False)
    if "permutation" in entry:
        array = array.transpose(entry["permutation"])
    return np.ascontiguousarray(array).reshape(array.shape)


def _to_source(array: Array, entry: Mapping[str, Any]) -> Array:
    """Bring an output into the source's layout and dtype."""
    if "permutation" in entry:
        array = array.transpose(np.argsort(entry["permutation"]))
    return np.asarray(array).astype(numpy_dtype(entry["dtype"]), copy=False)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
