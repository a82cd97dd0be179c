"""Running a TFLite model in LiteRT's interpreter as the reference.

This module needs LiteRT and is imported in the worker process only.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from irconv.errors import BackendError, InputError
from irconv.runtime.base import Array, Feeds, Runner, Value

__all__ = ["LitertRunner"]

_THREADS = 2
_WHERE = "frontend tflite"
Port = tuple[str, int]


class LitertRunner(Runner):
    """A TFLite model by LiteRT's own kernels, without delegates.

    A delegate fuses and rounds in its own way; without one every operator runs by the kernel
    that says what the operator means.

    Args:
        path: A file that irconv judged.
        signature: Name of the signature to run; None for the main graph.
        inputs: Name and tensor number of every input.
        outputs: Name and tensor number of every output.

    Raises:
        BackendError: If LiteRT refuses the file.
    """

    def __init__(
        self, path: Path, signature: str | None, inputs: Sequence[Port], outputs: Sequence[Port]
    ) -> None:
        self._inputs, self._outputs = list(inputs), list(outputs)
        try:
            self._interpreter = Interpreter(
                model_path=str(path),
                num_threads=_THREADS,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._signature = (
                None if signature is None else self._interpreter.get_signature_runner(signature)
            )
        except (RuntimeError, ValueError) as error:
            raise BackendError(
                f"LiteRT cannot open the model: {_first_line(error)}",
                where=_WHERE,
                hint="it may need a newer ai-edge-litert",
            ) from error

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs of a first run; see :meth:`irconv.runtime.base.Runner.run`."""
        arrays = {index: _tensor(name, feeds[name]) for name, index in self._inputs}
        try:
            results = self._run_graph(arrays) if self._signature is None else self._call(arrays)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"LiteRT: {_first_line(error)}", where=_WHERE) from error
        return {name: results[index] for name, index in self._outputs}

    def _run_graph(self, arrays: Mapping[int, Array]) -> dict[int, Array]:
        interpreter = self._interpreter
        for detail in interpreter.get_input_details():
            shape = arrays[detail["index"]].shape
            if tuple(detail["shape"]) != shape:
                interpreter.resize_tensor_input(detail["index"], shape)
        interpreter.allocate_tensors()
        interpreter.reset_all_variables()
        for index, array in arrays.items():
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        shapes = {detail["index"]: detail for detail in interpreter.get_output_details()}
        return {index: self._output(shapes[index]) for _, index in self._outputs}

    def _output(self, detail: Mapping[str, Any]) -> Array:
        """Return an output; LiteRT's Python interface refuses to give an empty one."""
        if 0 in detail["shape"]:
            return np.zeros(tuple(detail["shape"]), detail["dtype"])
        array: Array = self._interpreter.get_tensor(detail["index"])
        return array

    def _call(self, arrays: Mapping[int, Array]) -> dict[int, Array]:
        """Run a graph other than the main one, which only its signature reaches."""
        assert self._signature is not None
        inputs = self._signature.get_input_details()
        given = {name: arrays[detail["index"]] for name, detail in inputs.items()}
        outputs = self._signature.get_output_details()
        results = self._signature(**given)
        return {detail["index"]: results[name] for name, detail in outputs.items()}

    def describe(self) -> dict[str, str]:
        """Return what ran."""
        return {
            "runtime": "litert",
            "version": importlib.metadata.version("ai-edge-litert"),
            "device": "CPU, no delegates",
            "precision": "as in the model",
        }


def _tensor(name: str, value: Value) -> Array:
    if value is None or isinstance(value, (list, dict)):
        raise InputError(f"input {name!r} must be a tensor", where=_WHERE)
    return np.ascontiguousarray(value).reshape(np.shape(value))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
