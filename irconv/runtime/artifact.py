"""A worker that emits models for one target and runs what it emitted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from irconv.backends.base import Artifact, Backend
from irconv.graph.serialize import save_model
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import DimRange
from irconv.worker import Worker, WorkerLimits

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ArtifactWorker"]


class ArtifactWorker:
    """One worker process of a backend; a context manager that ends it.

    Args:
        backend: The target's backend, with its options.
        limits: Time and memory limits, and the interpreter.
        shapes: Ranges of named dimensions.
    """

    def __init__(
        self, backend: Backend, limits: WorkerLimits, shapes: Mapping[str, DimRange]
    ) -> None:
        self._shapes = {
            dim: (bounds.minimum, bounds.best, bounds.maximum) for dim, bounds in shapes.items()
        }
        self._worker = Worker(
            "irconv.runtime.service:BackendService",
            {"target": str(backend)},
            limits=limits,
            label=f"backend {backend.name}",
        )

    def emit(self, model: ir.Model, directory: Path) -> Artifact:
        """Emit a legalized model into an empty directory.

        Raises:
            UnsupportedError: If the vendor's builder refuses the model.
            BackendError: If the backend crashes, hangs or runs out of memory.
        """
        with tempfile.TemporaryDirectory(prefix="irconv-legalized-") as folder:
            path = Path(folder, "model.onnx")
            save_model(model, path)
            document = self._worker.call(
                "emit", model=str(path), directory=str(directory), shapes=self._shapes
            )
        return Artifact.from_json(document)

    def open(self, directory: Path, artifact: Artifact) -> RemoteRunner:
        """Open an artifact in its runtime; closing the runner leaves the worker running.

        Raises:
            MissingError: If it cannot be run here in any way.
            BackendError: If it cannot be loaded.
        """
        self._worker.call("open", directory=str(directory), artifact=artifact.to_json())
        return RemoteRunner(self._worker, owns_worker=False)

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory that the worker was seen to hold."""
        return self._worker.peak_rss_bytes

    def close(self) -> None:
        """End the worker; may be called twice."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
