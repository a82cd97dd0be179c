"""The reference runtime: any model of the IR, run by ONNX Runtime in a worker process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from irconv.graph.serialize import save_model
from irconv.runtime.remote import RemoteRunner
from irconv.worker import Worker, WorkerLimits

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ReferenceRunner", "open_reference"]


class ReferenceRunner(RemoteRunner):
    """A model in ONNX Runtime, in a worker of its own, with the files that it was loaded from.

    Args:
        worker: The worker that has the model open.
        directory: The folder of the model's files; removed on close.
    """

    def __init__(self, worker: Worker, directory: tempfile.TemporaryDirectory[str]) -> None:
        self._files = directory
        super().__init__(worker)

    def close(self) -> None:
        """End the worker and remove the model's files."""
        super().close()
        self._files.cleanup()


def open_reference(
    model: ir.Model, *, limits: WorkerLimits | None = None, optimize: bool = True
) -> ReferenceRunner:
    """Open ``model`` in ONNX Runtime on the CPU.

    Args:
        model: The model; it is written to a temporary folder, weights and all.
        limits: Time and memory limits of the worker.
        optimize: Whether ONNX Runtime may optimize the graph.

    Raises:
        UnsupportedError: If ONNX Runtime has no kernel for a node.
        BackendError: If it cannot load the model.
    """
    directory = tempfile.TemporaryDirectory(prefix="irconv-reference-")
    try:
        path = Path(directory.name, "model.onnx")
        save_model(model, path)
        worker = Worker(
            "irconv.runtime.service:OnnxService",
            {"path": str(path), "optimize": optimize},
            limits=limits,
            label="reference runtime",
        )
        try:
            return ReferenceRunner(worker, directory)
        except BaseException:
            worker.close()
            raise
    except BaseException:
        directory.cleanup()
        raise
