"""The services that a worker process hosts for the main process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import UsageError
from irconv.runtime.base import Runner
from irconv.runtime.values import load_samples, save_samples

if TYPE_CHECKING:
    from irconv.backends.base import Backend

__all__ = ["BackendService", "OnnxService", "RunnerService"]


class RunnerService:
    """Runs samples that travel as ``.npz`` files."""

    def __init__(self, runner: Runner | None = None) -> None:
        self._runner = runner

    @property
    def runner(self) -> Runner:
        """The open runner."""
        if self._runner is None:
            raise UsageError("nothing is open in this worker", where="worker")
        return self._runner

    def run(self, feeds: str, outputs: str) -> None:
        """Run every sample of the file ``feeds`` and write the results to ``outputs``."""
        samples = load_samples(Path(feeds))
        save_samples(Path(outputs), [self.runner.run(sample) for sample in samples])

    def describe(self) -> dict[str, Any]:
        """Return the runner's level and description."""
        return {"level": self.runner.level, **self.runner.describe()}

    def time(self, feeds: str, runs: int, warmup: int) -> list[float]:
        """Return the wall seconds of ``runs`` runs of the first sample, after ``warmup``."""
        sample = load_samples(Path(feeds))[0]
        seconds: list[float] = []
        for _ in range(warmup + runs):
            start = time.perf_counter()
            self.runner.run(sample)
            seconds.append(time.perf_counter() - start)
        return seconds[warmup:]


class OnnxService:
    """Runs ONNX files that irconv wrote, by ONNX Runtime; several may be open at once."""

    def __init__(self) -> None:
        self._sessions: dict[int, RunnerService] = {}
        self._opened = 0

    def open(self, path: str, *, optimize: bool) -> int:
        """Open a file and return the number of its session.

        Args:
            path: The file.
            optimize: Whether ONNX Runtime may optimize the graph.
        """
        from irconv.runtime.onnxruntime import OnnxRuntimeRunner

        self._opened += 1
        self._sessions[self._opened] = RunnerService(
            OnnxRuntimeRunner(Path(path), optimize=optimize)
        )
        return self._opened

    def run(self, feeds: str, outputs: str, session: int) -> None:
        """Run samples in a session; see :meth:`RunnerService.run`."""
        self._sessions[session].run(feeds, outputs)

    def describe(self, session: int) -> dict[str, Any]:
        """Describe a session; see :meth:`RunnerService.describe`."""
        return self._sessions[session].describe()

    def time(self, feeds: str, runs: int, warmup: int, session: int) -> list[float]:
        """Time runs in a session; see :meth:`RunnerService.time`."""
        return self._sessions[session].time(feeds, runs, warmup)

    def release(self, session: int) -> None:
        """Close a session."""
        self._sessions.pop(session).runner.close()


class BackendService(RunnerService):
    """Emits and runs artifacts of one backend.

    Args:
        target: Spec text of the target.
    """

    def __init__(self, target: str) -> None:
        from irconv.plugins import load_registry

        super().__init__()
        self._backend: Backend = load_registry().build_backend(target)

    def emit(
        self, model: str, directory: str, shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, Any]:
        """Emit the ONNX file ``model``, which irconv wrote, into ``directory``."""
        import onnx_ir as ir

        from irconv.backends.base import EmitRequest
        from irconv.shapes import DimRange

        ranges = {name: DimRange(*bounds) for name, bounds in shapes.items()}
        artifact = self._backend.emit(ir.load(model), Path(directory), EmitRequest(ranges))
        return artifact.to_json()

    def open(self, directory: str, artifact: Mapping[str, Any]) -> dict[str, Any]:
        """Open an artifact and return what :meth:`describe` says of it."""
        from irconv.backends.base import Artifact

        self._runner = self._backend.runner(Path(directory), Artifact.from_json(artifact))
        return self.describe()
