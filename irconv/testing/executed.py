"""Promises of a backend about what it emits and runs, asked in worker processes."""

from __future__ import annotations

import contextlib
import json
import tempfile
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from irconv.backends.base import Artifact, Backend, Precision
from irconv.errors import BackendError, IrconvError, MissingError
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.runtime.base import Feeds, Level, Value
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import DimRange
from irconv.testing.bad_models import BAD_MODELS
from irconv.testing.cases import Case
from irconv.testing.compare import difference, run_by_onnxruntime
from irconv.testing.declared import diagnostic_problems
from irconv.testing.feeds import random_feeds
from irconv.testing.report import ConformanceReport
from irconv.testing.watch import digests
from irconv.worker import Worker, WorkerLimits

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.base import Pass

__all__ = ["check_execution"]

RTOL: Mapping[Precision, float] = {
    "float64": 2e-5,
    "float32": 2e-5,
    "tf32": 5e-3,
    "float16": 1e-2,
    "bfloat16": 6e-2,
    "int8": 2e-1,
}
"""Largest error by the artifact's precision, relative to the largest magnitude of an output.
The models themselves hold float32, so float64 is no better."""

_MOST_NAMED = 4
_MOST_DEATHS = 3
_BATCH = "N"
_RANGE = DimRange(1, 2, 4)
_BOUND = DimRange(2, 2, 2)

LEGALIZES = "legalization() passes keep their contract on every sample model"
REFUSES = "what it refuses, it refuses with a reason and a way out"
ONLY_DIRECTORY = "emit() writes into its directory and nowhere else"
NO_EFFECTS = "emit() leaves the working directory, the environment and standard output alone"
EMITS = "emit() takes what check() took"
ARTIFACT = "the artifact names a main file, a precision and a runtime, and survives JSON"
FRESH = "a fresh process opens and runs the artifact"
DESCRIBES = "the runner says what ran, and at which level"
NAMES = "outputs have the source's names, in its order"
DTYPES = "outputs have the source's dtypes and shapes, at every batch size"
NUMBERS = "outputs agree with ONNX Runtime within the artifact's precision"
REPEATABLE = "the same inputs give the same outputs, also after other inputs"
CLEAN = "running leaves the artifact as it was, and no files behind"
CLOSES = "close() may be called twice, and a closed runner says so"
EMPTY_BATCH = "a batch of no samples gives empty outputs or an error, not a crash"
BAD_MODEL = "broken models give an error, not a crash"

_PROMISES = (
    LEGALIZES, REFUSES, EMITS, ONLY_DIRECTORY, NO_EFFECTS, ARTIFACT, FRESH, DESCRIBES, NAMES,
    DTYPES, NUMBERS, REPEATABLE, CLEAN, CLOSES, EMPTY_BATCH, BAD_MODEL,
)  # fmt: skip


class _Broken(Exception):  # noqa: N818 - ends one case; the problem is already noted
    """A case cannot go on."""


def check_execution(
    backend: Backend, cases: Sequence[Case], limits: WorkerLimits, report: ConformanceReport
) -> None:
    """Emit and run every case and add the outcomes to ``report``."""
    with tempfile.TemporaryDirectory(prefix="irconv-conformance-") as directory:
        execution = _Execution(backend, Path(directory).resolve(), limits)
        try:
            execution.run(cases)
        finally:
            execution.close()
    for promise in _PROMISES:
        if promise in execution.asked:
            report.record(promise, execution.problems(promise))
        else:
            report.skip(promise, execution.cannot_run or "no case came that far")
    for name, reason in execution.refused.items():
        report.skip(f"case {name}", reason)
    if len(execution.refused) == len(cases):
        report.record("it takes at least one case", ["it refuses every one"])


class _Execution:
    """The two workers that emit and run, and what was found so far."""

    def __init__(self, backend: Backend, scratch: Path, limits: WorkerLimits) -> None:
        self.backend = backend
        self.scratch = scratch
        self.limits = limits
        self.asked: set[str] = set()
        self._problems: dict[str, dict[str, list[str]]] = {}
        self.refused: dict[str, str] = {}
        self.cannot_run = ""
        self._workers: dict[str, Worker] = {}
        self._deaths = 0
        self.dynamic = backend.abilities().dynamic_shapes
        self.shapes = {_BATCH: _RANGE if self.dynamic else _BOUND}
        self.sizes = (1, 2, 4) if self.dynamic else (2,)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers.values():
            worker.close()

    def run(self, cases: Sequence[Case]) -> None:
        """Run every case, then the broken models."""
        for case in cases:
            if self._deaths < _MOST_DEATHS:
                with contextlib.suppress(_Broken):
                    self._run_case(case)
        for name, text in BAD_MODELS.items():
            if self._deaths < _MOST_DEATHS:
                self._run_bad_model(name, text)

    def _note(self, promise: str, case: str, problems: Sequence[str]) -> None:
        self.asked.add(promise)
        for text in problems:
            self._problems.setdefault(promise, {}).setdefault(text, []).append(case)

    def problems(self, promise: str) -> list[str]:
        """Return what broke a promise, each problem once, with the cases that showed it."""
        found = self._problems.get(promise, {})
        return [f"{_some_of(dict.fromkeys(names))}: {text}" for text, names in found.items()]

    @contextlib.contextmanager
    def _asking(self, promise: str, case: str) -> Iterator[None]:
        """Note an error of ours as a broken promise, and end the case."""
        self.asked.add(promise)
        try:
            yield
        except IrconvError as error:
            self._note(promise, case, [str(error)])
            self._drop_dead_workers()
            raise _Broken from error

    def _worker(self, role: str) -> Worker:
        if role not in self._workers:
            folder = self.scratch / role
            folder.mkdir(exist_ok=True)
            try:
                self._workers[role] = Worker(
                    "irconv.testing.watch:WatchedService",
                    {"target": str(self.backend), "scratch": str(folder)},
                    limits=self.limits,
                    label=f"backend {self.backend.name}, {role}",
                )
            except BackendError:
                self._count_deaths(1)
                raise
        return self._workers[role]

    def _drop_dead_workers(self) -> None:
        """Forget the workers that no longer answer."""
        dead = []
        for role, worker in self._workers.items():
            try:
                worker.call("leftovers")
            except BackendError:
                worker.close()
                dead.append(role)
        for role in dead:
            del self._workers[role]
        self._count_deaths(len(dead))

    def _count_deaths(self, number: int) -> None:
        self._deaths += number
        if self._deaths >= _MOST_DEATHS:
            self.cannot_run = f"its processes died {self._deaths} times, so the rest was left out"

    def _run_case(self, case: Case) -> None:
        model = case.model()
        source = model.clone()
        legalized = self._legalize(case, model)
        directory = self.scratch / "emit" / "artifacts" / case.name
        artifact = self._emit(case.name, legalized, directory)
        if self.cannot_run:
            return
        before = digests(directory)
        if not self._open(case.name, directory, artifact):
            return
        with RemoteRunner(self._worker("run"), owns_worker=False) as runner:
            self._note(DESCRIBES, case.name, _description_problems(runner))
            self._compare(case, source, runner, artifact.precision)
            if self.dynamic:
                self._run_empty_batch(case, source, runner)
        worker = self._worker("run")
        with self._asking(CLOSES, case.name):
            self._note(CLOSES, case.name, worker.call("close_runner"))
        changed = [] if digests(directory) == before else ["the artifact changed"]
        left = [f"{name} was left behind" for name in worker.call("leftovers")]
        self._note(CLEAN, case.name, changed + left)

    def _legalize(self, case: Case, model: ir.Model) -> ir.Model:
        registry = load_registry()
        shapes = {} if _BATCH not in case.text else self.shapes
        specs = [*(() if self.dynamic else ("bind-shapes",)), *self.backend.legalization()]
        dims = {name: bounds.best for name, bounds in shapes.items()}
        context = PassContext(
            abilities=self.backend.abilities(),
            calibration=(random_feeds(model, dims=dims),),
            shapes=shapes,
        )
        with self._asking(LEGALIZES, case.name):
            passes: list[Pass] = [registry.build_pass(spec) for spec in specs]
            legalized = PassManager(passes, strict=True).run(model, context).model
        diagnostics = self.backend.check(legalized, shapes)
        self._note(REFUSES, case.name, diagnostic_problems(diagnostics))
        if diagnostics:
            self.refused[case.name] = "; ".join(str(diagnostic) for diagnostic in diagnostics)
            raise _Broken
        return legalized

    def _emit(self, name: str, model: ir.Model, directory: Path) -> Artifact:
        with self._asking(EMITS, name):
            save_model(model, self._file(name))
            document = self._hand_over(self._worker("emit"), name, directory)
        self._note(ONLY_DIRECTORY, name, document["files"])
        self._note(NO_EFFECTS, name, document["effects"])
        self._note(ARTIFACT, name, _artifact_problems(document["artifact"], directory))
        return Artifact.from_json(document["artifact"])

    def _hand_over(self, worker: Worker, name: str, directory: Path) -> dict[str, Any]:
        """Emit the file of the case ``name`` into the new folder ``directory``."""
        directory.mkdir(parents=True)
        document: dict[str, Any] = worker.call(
            "emit_watched",
            model=str(self._file(name)),
            directory=str(directory),
            shapes={dim: (r.minimum, r.best, r.maximum) for dim, r in self.shapes.items()},
        )
        return document

    def _file(self, name: str) -> Path:
        folder = self.scratch / "emit" / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "model.onnx"

    def _open(self, name: str, directory: Path, artifact: Artifact) -> bool:
        """Open an artifact in a fresh process; say whether it can be run on this machine."""
        with self._asking(FRESH, name):
            worker = self._worker("run")
            try:
                worker.call("open", directory=str(directory), artifact=artifact.to_json())
            except MissingError as error:
                self.cannot_run = f"it cannot be run here: {error.what}"
                self.asked.discard(FRESH)
                return False
        return True

    def _compare(
        self, case: Case, source: ir.Model, runner: RemoteRunner, precision: Precision
    ) -> None:
        feeds = [
            random_feeds(source, seed=size, dims={_BATCH: size})
            for size in (*self.sizes, self.sizes[0])
        ]
        expected = run_by_onnxruntime(source, *feeds)
        with self._asking(FRESH, case.name):
            found = runner.run_all(feeds)
        names = [spec.name for spec in output_specs(source)]
        for sample, wanted, given in zip(feeds, expected, found, strict=True):
            size = _batch_of(sample)
            if list(given) != names:
                self._note(NAMES, case.name, [f"they are {list(given)}, expected {names}"])
                raise _Broken
            shapes = [_kind_problem(name, wanted[name], given[name], size) for name in names]
            self._note(DTYPES, case.name, [text for text in shapes if text])
            if not any(shapes):
                errors = {n: difference(wanted[n], given[n], RTOL[precision]) for n in names}
                self._note(
                    NUMBERS, case.name, [f"{n}, batch {size}: {e}" for n, e in errors.items() if e]
                )
        self._note(NAMES, case.name, [])
        same = all(difference(found[0][name], found[-1][name], 0.0) == "" for name in names)
        self._note(REPEATABLE, case.name, [] if same else ["they differ"])

    def _run_empty_batch(self, case: Case, source: ir.Model, runner: RemoteRunner) -> None:
        if not any(_BATCH in (spec.shape or ()) for spec in input_specs(source)):
            return
        self.asked.add(EMPTY_BATCH)
        feeds = random_feeds(source, dims={_BATCH: 0})
        deaths = self._deaths
        try:
            runner.run(feeds)
        except IrconvError as error:
            self._drop_dead_workers()
            if self._deaths > deaths:
                self._note(EMPTY_BATCH, case.name, [str(error)])
                raise _Broken from error

    def _run_bad_model(self, name: str, text: str) -> None:
        directory = self.scratch / "emit" / "artifacts" / name
        self._file(name).write_bytes(onnx.parser.parse_model(text).SerializeToString())
        feeds = {"x": np.ones((2, 4), np.float32)}
        error: IrconvError | None = None
        deaths = self._deaths
        self.asked.add(BAD_MODEL)
        try:
            document = self._hand_over(self._worker("emit"), name, directory)
            worker = self._worker("run")
            worker.call("open", directory=str(directory), artifact=document["artifact"])
            with RemoteRunner(worker, owns_worker=False) as runner:
                runner.run(feeds)
        except IrconvError as caught:
            error = caught
        self._drop_dead_workers()
        if error is None:
            self._note(BAD_MODEL, name, ["it was emitted and run as if nothing were wrong"])
        elif self._deaths > deaths:
            self._note(BAD_MODEL, name, [str(error)])


def _some_of(names: Iterable[str]) -> str:
    every = list(names)
    if len(every) <= _MOST_NAMED:
        return ", ".join(every)
    return ", ".join(every[:_MOST_NAMED]) + f" and {len(every) - _MOST_NAMED} more"


def _artifact_problems(document: dict[str, Any], directory: Path) -> list[str]:
    problems = []
    artifact = Artifact.from_json(json.loads(json.dumps(document)))
    if artifact.to_json() != document:
        problems.append("it is another one after to_json and from_json")
    main = Path(artifact.main)
    if main.is_absolute() or ".." in main.parts or not (directory / main).exists():
        problems.append(f"main is {artifact.main!r}, which is not in the directory")
    links = [path.name for path in directory.rglob("*") if path.is_symlink()]
    problems += [f"{name} is a link" for name in links]
    if artifact.precision not in typing.get_args(Precision):
        problems.append(f"precision {artifact.precision!r}")
    if not artifact.requires.get("runtime"):
        problems.append("requires names no runtime")
    return problems


def _description_problems(runner: RemoteRunner) -> list[str]:
    problems = []
    if runner.level not in typing.get_args(Level):
        problems.append(f"level {runner.level!r}")
    description = runner.describe()
    problems += [f"{key} is missing" for key in ("runtime", "version") if not description.get(key)]
    return problems


def _batch_of(feeds: Feeds) -> int:
    first = next(iter(feeds.values()))
    return int(getattr(first, "shape", (0,))[0])


def _kind_problem(name: str, expected: Value, found: Value, size: int) -> str:
    wanted, given = _kind(expected), _kind(found)
    return "" if wanted == given else f"{name}, batch {size}: {given}, expected {wanted}"


def _kind(value: Value) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return type(value).__name__ if dtype is None else f"{dtype}{list(shape or ())}"
