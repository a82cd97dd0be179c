"""The TensorFlow frontend: SavedModels, Keras files, frozen graphs, and trusted factories.

TensorFlow lives in a worker process. Every file is judged before TensorFlow or Keras sees it,
and they read irconv's copy of what was judged.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from irconv.backends.base import Availability
from irconv.errors import InputError, UsageError
from irconv.frontends.base import Frontend, Imported, ImportRequest, SourceInfo
from irconv.frontends.factories import untrusted
from irconv.frontends.tensorflow.formats import Format, format_of

if TYPE_CHECKING:
    from irconv.frontends.tensorflow.preflight import Judged
    from irconv.worker import Worker

__all__ = ["TensorflowFrontend"]

_WHERE = "frontend tensorflow"
_NEEDED = ("tensorflow", "keras", "tf2onnx")
_INSTALL = "pip install 'irconv[tensorflow]'"


@dataclass(frozen=True)
class TensorflowFrontend(Frontend):
    """Frontend ``tensorflow``.

    A ``package.module:factory`` that returns a Keras model looks like one that returns a PyTorch
    module, so the user says ``--frontend tensorflow`` with it, beside ``--trust``.

    Attributes:
        opset: Opset to write; 18 is the newest that tf2onnx knows.
    """

    name: ClassVar[str] = "tensorflow"
    summary: ClassVar[str] = (
        "TensorFlow SavedModels, Keras models and frozen graphs, and with --trust and --frontend "
        "tensorflow module:factory"
    )
    suffixes: ClassVar[tuple[str, ...]] = (".keras", ".h5", ".hdf5", ".pb")
    takes: ClassVar[frozenset[str]] = frozenset({"signature", "outputs"})

    opset: int = 18

    def __post_init__(self) -> None:
        if not 13 <= self.opset <= 18:
            raise ValueError(f"opset must be from 13 to 18, not {self.opset}")

    def recognizes(self, source: str) -> bool:
        """Say yes to files by their suffix and to folders that hold a SavedModel."""
        return format_of(source) not in (None, Format.FACTORY)

    def available(self) -> Availability:
        """Say whether TensorFlow, Keras and tf2onnx are installed, without importing them."""
        for name in _NEEDED:
            if importlib.util.find_spec(name) is None:
                return Availability(False, f"{name} is not installed", _INSTALL)
        return Availability(True, ", ".join(f"{name} {_version(name)}" for name in _NEEDED))

    def inspect(self, source: str) -> dict[str, Any]:
        """Return facts about a source; nothing in it runs, and TensorFlow is not imported."""
        from irconv.frontends.tensorflow.facts import describe

        return {"frontend": self.name, **describe(source, _form(source), self.opset)}

    def load(self, source: str, request: ImportRequest) -> Imported:
        """Bring the source into the IR; see :meth:`irconv.frontends.base.Frontend.load`."""
        from irconv.frontends.tensorflow.preflight import Preflight

        form = _form(source)
        _check_use(form, request)
        if form is Format.FACTORY and not request.trust:
            raise untrusted(source, _WHERE)
        session = _Session(self, request)
        try:
            judged = Preflight(source, request, session.worker).judge(form)
            return self._finish(session.worker(), request, judged)
        except BaseException:
            session.close()
            raise

    def _finish(self, worker: Worker, request: ImportRequest, judged: Judged) -> Imported:
        from irconv.graph.reading.load import load_model, source_digest
        from irconv.runtime.remote import RemoteRunner

        path = request.directory / "exported.onnx"
        stated = [(spec.name, list(spec.dims), spec.dtype) for spec in request.inputs]
        worker.call(judged.method, inputs=stated, **judged.arguments)
        facts = worker.call("export", path=str(path), opset=self.opset)
        loaded = load_model(path)
        imported = Imported(
            model=loaded.model,
            source=SourceInfo(
                frontend=str(self),
                sha256=source_digest(judged.files) if judged.files else "",
                bytes=sum(file.stat().st_size for file in judged.files),
                opset=loaded.opset,
                notes=(*judged.notes, *facts["notes"], *loaded.notes),
            ),
            open_reference=lambda: RemoteRunner(worker, owns_worker=False),
        )
        imported.close = weakref.finalize(imported, worker.close)
        return imported


def _version(module: str) -> str:
    """Return the version of a module; TensorFlow comes by several distributions."""
    names = importlib.metadata.packages_distributions().get(module, [module])
    return importlib.metadata.version(names[0])


class _Session:
    """The worker of one import, started when it is first needed."""

    def __init__(self, frontend: TensorflowFrontend, request: ImportRequest) -> None:
        self._frontend = frontend
        self._request = request
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """Return the worker.

        Raises:
            MissingError: If TensorFlow is not installed where it would run.
        """
        from irconv.worker import Worker

        if self._worker is None:
            self._frontend.require(self._request)
            self._worker = Worker(
                "irconv.frontends.tensorflow.service:TensorflowService",
                limits=self._request.limits,
                label=_WHERE,
            )
        return self._worker

    def close(self) -> None:
        """End the worker where it was started."""
        if self._worker is not None:
            self._worker.close()


def _form(source: str) -> Format:
    form = format_of(source)
    if form is not None:
        return form
    exists = Path(source).exists()
    raise InputError(
        f"{source} is of no form of TensorFlow model" if exists else f"there is no file {source}",
        where=_WHERE,
        hint="give the folder of a SavedModel, a .keras, .h5 or frozen .pb file, or with --trust "
        "a module:factory",
    )


def _check_use(form: Format, request: ImportRequest) -> None:
    """Refuse what this form of source would ignore."""
    given = {
        "--signature": (request.signature is not None, Format.SAVED_MODEL),
        "--output-name": (bool(request.outputs), Format.GRAPH),
    }
    for option, (is_given, taken_by) in given.items():
        if is_given and form is not taken_by:
            raise UsageError(
                f"a {form.value} does not choose by {option}, which is for a {taken_by.value}",
                where=option,
                hint=f"leave {option} out",
            )
