"""Running an ExecuTorch program in ExecuTorch's own runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import BackendError, InputError
from irconv.runtime.base import Feeds, Runner, Value
from irconv_torchscript.executorch.sdk import load_runtime
from irconv_torchscript.tensors import from_torch, to_torch

if TYPE_CHECKING:
    from irconv.backends.base import Artifact

__all__ = ["ExecutorchRunner"]


class ExecutorchRunner(Runner):
    """The method ``forward`` of a ``.pte`` file.

    Args:
        directory: The artifact's directory.
        artifact: The artifact; ``data`` holds the inputs and outputs in order.

    Raises:
        MissingError: If ExecuTorch is not installed.
        BackendError: If its runtime refuses the file.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        runtime, self._version = load_runtime()
        self._inputs: list[Mapping[str, Any]] = list(artifact.data["inputs"])
        self._outputs: list[Mapping[str, Any]] = list(artifact.data["outputs"])
        self._delegate: str = artifact.requires["delegate"]
        try:
            self._program = runtime.load_program(directory / artifact.main)
            self._method = self._program.load_method("forward")
        except RuntimeError as error:
            raise BackendError(f"ExecuTorch: {error}", where="executorch runtime") from error

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._method is None:
            raise BackendError("the runner is closed", where="run")
        arguments = [_tensor(feeds[entry["name"]]) for entry in self._inputs]
        for entry, argument in zip(self._inputs, arguments, strict=True):
            _check_shape(entry, tuple(argument.shape))
        try:
            results = self._method.execute(arguments)
        except RuntimeError as error:
            raise BackendError(f"ExecuTorch: {error}", where="run") from error
        return {
            entry["name"]: from_torch(result, entry["dtype"])
            for entry, result in zip(self._outputs, results, strict=True)
        }

    def describe(self) -> dict[str, str]:
        """Return what ran."""
        return {
            "runtime": "executorch",
            "version": self._version,
            "device": "CPU",
            "precision": "float32",
            "delegate": self._delegate,
        }

    def close(self) -> None:
        """Free the program; a runner may be closed twice."""
        self._method = self._program = None


def _tensor(value: Value) -> Any:
    """Return a tensor; the strides of an empty one are torch's own.

    ExecuTorch's binding ends the process at strides of 0, which NumPy gives to empty arrays.
    """
    tensor = to_torch(value)
    return tensor if tensor.numel() else tensor.new_empty(tuple(tensor.shape))


def _check_shape(entry: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Refuse a size outside of what the program's memory was planned for.

    Raises:
        InputError: If the rank or a size does not fit.
    """
    ranges: list[list[int]] = entry["ranges"]
    fits = len(shape) == len(ranges) and all(
        low <= size <= high for size, (low, high) in zip(shape, ranges, strict=True)
    )
    if not fits:
        planned = ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in ranges)
        raise InputError(
            f"input {entry['name']!r} has shape {list(np.asarray(shape).tolist())}, and the "
            f"program's memory is planned for [{planned}]",
            where="executorch",
            hint="compile it with a --shape that covers this size",
        )
