"""The reference runtime: any model of the IR, run by ONNX Runtime in a worker process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from irconv.errors import IrconvError
from irconv.graph.serialize import save_model
from irconv.runtime.remote import RemoteRunner
from irconv.worker import Worker, WorkerLimits

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ReferenceRuntime", "open_reference"]

_INLINE_LIMIT = 1 << 20
"""More bytes of weights go to a file of their own, which ONNX Runtime maps and does not copy."""
_FITTED = "fitted.onnx"
_FITTED_NOTE = (
    "ONNX Runtime has no kernel for some of the model's operators: they were replaced by their "
    "function bodies, or converted to another opset, before it was run"
)


class ReferenceRuntime:
    """One worker that opens models in ONNX Runtime, one after another or side by side.

    The worker starts with the first model and, after a crash, anew with the next one.

    Args:
        limits: Time and memory limits of the worker.
    """

    def __init__(self, limits: WorkerLimits | None = None) -> None:
        self._limits = limits
        self._worker: Worker | None = None

    def open(self, model: ir.Model, *, optimize: bool = False) -> RemoteRunner:
        """Open ``model`` on the CPU; closing the runner leaves the worker running.

        Args:
            model: The model; it is written to a temporary folder, weights and all.
            optimize: Whether ONNX Runtime may optimize the graph.

        Raises:
            UnsupportedError: If ONNX Runtime has no kernel for a node, and neither the
                node's function body nor another opset helps.
            BackendError: If it cannot load the model.
        """
        return self._open(model, optimize=optimize, owned=False)

    def _open(self, model: ir.Model, *, optimize: bool, owned: bool) -> RemoteRunner:
        files = tempfile.TemporaryDirectory(prefix="irconv-reference-")
        try:
            worker = self._running()
            session = self._load(worker, model, Path(files.name), optimize)
            return _ReferenceRunner(worker, session, files, owned=owned)
        except BaseException:
            files.cleanup()
            if owned:
                self.close()
            raise

    @staticmethod
    def _load(worker: Worker, model: ir.Model, folder: Path, optimize: bool) -> int:
        """Open the model; one that lacks kernels is opened in a form that means the same."""
        path = folder / "model.onnx"
        save_model(model, path, inline_limit=_INLINE_LIMIT)
        try:
            session: int = worker.call("open", path=str(path), optimize=optimize)
        except IrconvError:
            from irconv.passes.fit_onnxruntime import fitted

            other = fitted(model) if worker.alive else None
            if other is None:
                raise
            path = folder / _FITTED
            save_model(other, path, inline_limit=_INLINE_LIMIT)
            session = worker.call("open", path=str(path), optimize=optimize)
        return session

    def _running(self) -> Worker:
        if self._worker is not None and not self._worker.alive:
            self.close()
        if self._worker is None:
            self._worker = Worker(
                "irconv.runtime.service:OnnxService",
                limits=self._limits,
                label="reference runtime",
            )
        return self._worker

    @property
    def peak_rss_bytes(self) -> int:
        """The most memory that the worker was seen to hold."""
        return 0 if self._worker is None else self._worker.peak_rss_bytes

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ReferenceRunner(RemoteRunner):
    """A model that is open in a worker, with the files that it was loaded from."""

    def __init__(
        self,
        worker: Worker,
        session: int,
        files: tempfile.TemporaryDirectory[str],
        *,
        owned: bool,
    ) -> None:
        self._files = files
        super().__init__(worker, session=session, owns_worker=owned)

    def describe(self) -> dict[str, str]:
        """Return what runs the model, and whether in another form than its own."""
        fitted = Path(self._files.name, _FITTED).exists()
        return super().describe() | ({"note": _FITTED_NOTE} if fitted else {})

    def close(self) -> None:
        """Close the session and remove the model's files."""
        super().close()
        self._files.cleanup()


def open_reference(
    model: ir.Model, *, limits: WorkerLimits | None = None, optimize: bool = True
) -> RemoteRunner:
    """Open one model in a worker of its own, which ends with the runner.

    The arguments and errors are those of :meth:`ReferenceRuntime.open`.
    """
    return ReferenceRuntime(limits)._open(model, optimize=optimize, owned=True)
