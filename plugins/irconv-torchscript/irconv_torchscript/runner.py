"""Running an artifact in torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import BackendError, InputError, MissingError
from irconv.runtime.base import Feeds, Runner, Value
from irconv_torchscript.emit import quiet_torch
from irconv_torchscript.tensors import from_torch, to_torch

if TYPE_CHECKING:
    from irconv.backends.base import Artifact

__all__ = ["TorchRunner"]


class TorchRunner(Runner):
    """A TorchScript archive or a program of torch.export, on the CPU.

    Args:
        directory: The artifact's directory.
        artifact: The artifact; ``data`` holds the inputs and outputs in order.

    Raises:
        MissingError: If torch is not installed.
        BackendError: If torch does not read the file.
    """

    def __init__(self, directory: Path, artifact: Artifact) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingError(
                "torch is not installed", where="torchscript", hint="pip install torch"
            ) from error
        self._torch = torch
        self._data = artifact.data
        path = directory / artifact.main
        with quiet_torch():
            try:
                if path.suffix == ".pt2":
                    self._module: Any = torch.export.load(path).module()
                else:
                    self._module = torch.jit.load(str(path), map_location="cpu").eval()
            except (RuntimeError, ValueError, OSError) as error:
                raise BackendError(
                    f"torch does not read {artifact.main}: {_last_line(error)}",
                    where="torchscript",
                    hint="compile the model again",
                ) from error

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._module is None:
            raise BackendError("the runner is closed", where="run")
        for entry in self._data["inputs"]:
            if entry["name"] not in feeds:
                raise InputError(f"input {entry['name']!r} is missing", where="torchscript")
        arguments = [to_torch(feeds[entry["name"]]) for entry in self._data["inputs"]]
        with self._torch.inference_mode(), self._errors():
            results = self._module(*arguments)
        outputs = self._data["outputs"]
        if len(outputs) == 1:
            results = (results,)
        return {
            entry["name"]: from_torch(result, entry["dtype"])
            for entry, result in zip(outputs, results, strict=True)
        }

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (
            RuntimeError, IndexError, ValueError, AssertionError, self._torch.jit.Error
        ) as error:  # fmt: skip
            raise BackendError(f"torch: {_last_line(error)}", where="run") from error

    def describe(self) -> dict[str, str]:
        """Return what ran."""
        return {
            "runtime": "torch",
            "version": str(self._torch.__version__),
            "device": "CPU",
            "precision": "as written in the artifact",
        }

    def close(self) -> None:
        """Free the module; a runner may be closed twice."""
        self._module = None


def _last_line(error: Exception) -> str:
    """Return the line in which TorchScript's traceback ends; it holds the message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
