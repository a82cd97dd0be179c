"""``compile``: the one place where the stages meet.

source → frontend → passes → legalize → emit → run and compare → bundle. Each target is emitted
and run in a worker process, judged against goldens that the *source* framework gave, and
published by one rename, or not at all.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from irconv.backends.base import Artifact, Backend, Precision
from irconv.bundle import GOLDEN, environment, write_manifest
from irconv.config import CompileOptions
from irconv.errors import (
    IrconvError,
    MismatchError,
    MissingError,
    UnsupportedError,
    UsageError,
)
from irconv.frontends.base import Imported
from irconv.graph.atomic import publish_directory, staging_directory
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.graph.snapshot import snapshot
from irconv.importing import import_model
from irconv.passes.base import Pass, PassContext
from irconv.passes.manager import Observer, PassManager, PassRecord
from irconv.passes.pipelines import (
    HIGHEST_LEVEL,
    MAX_ROUNDS,
    build_pipeline,
    relaxed_passes,
    resolve_pipeline,
    target_pipeline,
)
from irconv.plugins import Registry, load_registry
from irconv.results import CompileResult, TargetResult
from irconv.runtime.reference import ReferenceRuntime
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import DimRange, parse_shapes
from irconv.spec import parse_spec
from irconv.verify.golden import Golden, load_golden, save_golden
from irconv.verify.observers import AccuracyObserver, DumpObserver, VerifyObserver
from irconv.verify.source import golden_from_source
from irconv.verify.tolerance import Tolerance, add_effects, derive_tolerances
from irconv.verify.verifier import Verification, judge, not_run
from irconv.worker import Worker

__all__ = ["Progress", "compile_model"]

Progress = Callable[[str], None]
"""Called with one line at the start of each stage."""


def compile_model(
    source: str,
    output: Path | None,
    options: CompileOptions,
    *,
    registry: Registry | None = None,
    progress: Progress = lambda _: None,
) -> CompileResult:
    """Compile ``source`` for every target of ``options`` into ``output``.

    Args:
        source: Path of a model, or ``module:factory`` with ``options.trust``.
        output: Folder for the bundles; None checks everything and writes nothing (dry run).
        options: Targets and everything else.
        registry: Plugins to use; None loads the installed ones.
        progress: Called at the start of each stage.

    Raises:
        InputError: If the model, the data or an option cannot be used.
        MissingError: If a target or framework is not installed.
        BackendError: If the source cannot be run, so that there is nothing to compare with.
    """
    registry = registry or load_registry()
    backends, skipped = _choose_backends(registry, options)
    with contextlib.ExitStack() as stack:
        build = _Build(source, output, options, registry, progress, stack)
        build.load()
        build.take_goldens()
        build.optimize()
        names = _directory_names(backends)
        results = [
            build.target(backend, name) for backend, name in zip(backends, names, strict=True)
        ]
        return CompileResult(results, build.records, skipped)


def _choose_backends(
    registry: Registry, options: CompileOptions
) -> tuple[list[Backend], dict[str, str]]:
    """Return the backends asked for, and which of ``all`` are skipped, with the reason.

    Whether a backend whose worker runs in another environment is available is seen there.
    """
    if not options.targets:
        raise UsageError("no target is given", hint="add --target, for example --target onnx")
    backends: list[Backend] = []
    skipped: dict[str, str] = {}
    for text in options.targets:
        if text == "all":
            for cls in registry.backends().values():
                availability = cls().available()
                if availability.ok or cls.name in options.python:
                    backends.append(cls())
                else:
                    skipped[cls.name] = f"{availability.detail}; {availability.way_out}"
            continue
        backend = registry.build_backend(parse_spec(text))
        availability = backend.available()
        if not availability.ok and backend.name not in options.python:
            raise MissingError(
                f"target {text!r} cannot be built here: {availability.detail}",
                where=f"target {text}",
                hint=availability.way_out,
            )
        backends.append(backend)
    duplicates = {str(backend) for backend in backends if backends.count(backend) > 1}
    if duplicates:
        raise UsageError(f"target {sorted(duplicates)[0]!r} is given twice")
    return backends, skipped


def _directory_names(backends: Sequence[Backend]) -> list[str]:
    """Return the target's name for each, made unique by its options where needed."""
    names = [backend.name for backend in backends]
    slugs = [
        "-".join(filter(None, "".join(c if c.isalnum() else " " for c in str(backend)).split()))
        for backend in backends
    ]
    return [
        name if names.count(name) == 1 else slug for name, slug in zip(names, slugs, strict=True)
    ]


@dataclass(frozen=True)
class _Fitted:
    """A target's own copy of the model, optimized for it and fitted to it.

    Attributes:
        model: The fitted model.
        records: What each pass did.
        specs: The passes as spec text.
        effects: By output name, the largest absolute difference that lossy passes made, those
            of the target-independent pipeline included.
    """

    model: ir.Model
    records: list[PassRecord]
    specs: list[str]
    effects: dict[str, float]


class _Build:
    """One compilation: the state that its stages hand on."""

    def __init__(
        self,
        source: str,
        output: Path | None,
        options: CompileOptions,
        registry: Registry,
        progress: Progress,
        stack: contextlib.ExitStack,
    ) -> None:
        self.source = source
        self.output = output
        self.options = options
        self.registry = registry
        self.progress = progress
        self.stack = stack
        self.shapes: dict[str, DimRange] = parse_shapes(options.shapes)
        self.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="irconv-")))
        self.reference = stack.enter_context(ReferenceRuntime(options.limits()))
        self.seconds: dict[str, float] = {}
        self.worker_peak = 0
        self.records: list[PassRecord] = []
        self.effects: dict[str, float] = {}
        self.imported: Imported
        self.original: ir.Model
        self.model: ir.Model
        self.golden: Golden | None = None
        self.pipeline: list[Pass] = []
        self._tolerances: dict[Precision, dict[str, Tolerance]] = {}

    @contextlib.contextmanager
    def timed(self, stage: str, message: str) -> Iterator[None]:
        """Report the stage and add its wall time to ``seconds``."""
        self.progress(message)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def open_reference(self, model: ir.Model) -> RemoteRunner:
        """Open an IR model in the reference runtime, in a worker."""
        return self.reference.open(model)

    def load(self) -> None:
        """Bring the source into the IR, and build the pipeline so that its errors come first."""
        options = self.options
        self.pipeline = resolve_pipeline(
            self.registry,
            options.level,
            options.passes,
            options.quantize,
            options.prune,
            self.shapes,
        )
        with self.timed("frontend", f"reading {self.source}"):
            self.imported = self.stack.enter_context(
                import_model(self.source, options, self.registry)
            )
        self.model = self.imported.model
        self.original = snapshot(self.model)

    def take_goldens(self) -> None:
        """Take inputs and the source framework's outputs, unless nothing will be run."""
        if self.output is None:
            return
        with self.timed("verify", "running the source for golden outputs"):
            self.golden = (
                load_golden(Path(self.options.golden))
                if self.options.golden
                else golden_from_source(self.imported, self.options)
            )

    def optimize(self) -> None:
        """Run the target-independent pipeline."""
        samples = self.golden.inputs if self.golden else ()
        observers: list[Observer] = []
        accuracy = AccuracyObserver(self.open_reference, samples)
        if samples:
            observers.append(accuracy)
            if self.options.verify_each:
                observers.append(VerifyObserver(self.open_reference, samples))
            elif self.options.level == HIGHEST_LEVEL:
                relaxed = relaxed_passes()
                observers.append(VerifyObserver(self.open_reference, samples, only=relaxed))
        if self.options.dump_ir:
            observers.append(DumpObserver(Path(self.options.dump_ir)))
        context = self._context()
        manager = PassManager(
            self.pipeline,
            strict=self.options.strict,
            max_rounds=MAX_ROUNDS,
            observers=observers,
        )
        with self.timed("passes", f"optimizing ({len(self.pipeline)} passes)"):
            result = manager.run(self.model, context)
        self.model, self.records = result.model, result.records
        self.pipeline = manager.passes
        self.effects = dict(accuracy.effects)

    def target(self, backend: Backend, name: str) -> TargetResult:
        """Build one target; its failure is a result and does not stop the others."""
        result = TargetResult(str(backend))
        seconds = dict(self.seconds)
        try:
            fitted = self._legalize(backend, self._optimize_for(backend))
            if self.output is not None:
                self._emit_and_verify(backend, name, fitted, result)
        except IrconvError as error:
            result.error = error
        self.seconds = seconds
        return result

    def _context(self, backend: Backend | None = None) -> PassContext:
        return PassContext(
            abilities=None if backend is None else backend.abilities(),
            calibration=self.golden.inputs if self.golden else (),
            open_reference=self.open_reference,
            shapes=self.shapes,
        )

    def _optimize_for(self, backend: Backend) -> _Fitted:
        """Run what the level adds for the target on a copy of the model.

        What a pass did is kept only if the outputs stay within what its effect allows.
        """
        options = self.options
        passes = target_pipeline(self.registry, backend, options.level, options.passes)
        model = snapshot(self.model)
        if not passes:
            return _Fitted(model, [], [], self.effects)
        samples = self.golden.inputs if self.golden else ()
        accuracy = AccuracyObserver(self.open_reference, samples)
        verify = VerifyObserver(self.open_reference, samples)
        manager = PassManager(
            passes, strict=options.strict, observers=[accuracy, verify] if samples else []
        )
        with self.timed("passes", f"{backend.name}: optimizing for the target"):
            result = manager.run(model, self._context(backend))
        specs = [str(pass_) for pass_ in manager.passes]
        effects = _added(self.effects, accuracy.effects)
        return _Fitted(result.model, result.records, specs, effects)

    def _legalize(self, backend: Backend, optimized: _Fitted) -> _Fitted:
        with self.timed("legalize", f"{backend.name}: fitting the graph to the target"):
            passes = build_pipeline(self.registry, backend.legalization())
            context = self._context(backend)
            accuracy = AccuracyObserver(self.open_reference, context.calibration)
            observers = [accuracy] if context.calibration else []
            manager = PassManager(passes, strict=True, observers=observers)
            result = manager.run(optimized.model, context)
            diagnostics = backend.check(result.model, self.shapes)
        if diagnostics:
            raise UnsupportedError(str(backend), diagnostics, where=f"target {backend.name}")
        return _Fitted(
            result.model,
            [*optimized.records, *result.records],
            [*optimized.specs, *(str(pass_) for pass_ in manager.passes)],
            _added(optimized.effects, accuracy.effects),
        )

    def _emit_and_verify(
        self,
        backend: Backend,
        name: str,
        fitted: _Fitted,
        result: TargetResult,
    ) -> None:
        assert self.output is not None
        assert self.golden is not None
        final = self.output / name
        with contextlib.ExitStack() as stack:
            staging = stack.enter_context(staging_directory(final))
            worker = stack.enter_context(
                Worker(
                    "irconv.runtime.service:BackendService",
                    {"target": str(backend)},
                    limits=self.options.limits(backend.name),
                    label=f"backend {backend.name}",
                )
            )
            with self.timed("emit", f"{backend.name}: emitting the artifact"):
                artifact = self._emit(worker, fitted.model, staging, name)
            with self.timed("verify", f"{backend.name}: running it against the goldens"):
                try:
                    verification, ran = self._verify(worker, staging, artifact, fitted.effects)
                except MissingError as error:
                    verification, ran = not_run(error.what), {}
                    result.error = error
            self.worker_peak = max(
                self.worker_peak, worker.peak_rss_bytes, self.reference.peak_rss_bytes
            )
            worker.close()
            save_golden(staging / GOLDEN, self.golden)
            facts = self._facts(
                backend,
                fitted,
                verification.to_json() | {"ran": ran},
                worker.peak_rss_bytes,
            )
            result.manifest = write_manifest(staging, facts, artifact)
            if verification.verdict == "fail":
                result.error = MismatchError(
                    f"target {result.target}: {verification.reason}",
                    where="verification",
                    hint="see which output differs above; --allow-mismatch publishes it all "
                    "the same, --verify-each names the pass that broke it",
                )
            if result.error is None or self.options.allow_mismatch:
                publish_directory(staging, final)
                result.directory = final

    def _emit(self, worker: Worker, model: ir.Model, staging: Path, name: str) -> Artifact:
        handed = self.scratch / f"{name}-legalized"
        handed.mkdir()
        path = handed / "model.onnx"
        save_model(model, path)
        shapes = {
            dim: (bounds.minimum, bounds.best, bounds.maximum)
            for dim, bounds in self.shapes.items()
        }
        document = worker.call("emit", model=str(path), directory=str(staging), shapes=shapes)
        return Artifact.from_json(document)

    def _verify(
        self, worker: Worker, staging: Path, artifact: Artifact, effects: Mapping[str, float]
    ) -> tuple[Verification, dict[str, str]]:
        assert self.golden is not None
        worker.call("open", directory=str(staging), artifact=artifact.to_json())
        with RemoteRunner(worker, owns_worker=False) as runner:
            actual = runner.run_all(self.golden.inputs)
            level, ran = runner.level, runner.describe()
        tolerances = add_effects(self._derive(artifact.precision), effects)
        verification = judge(
            self.golden, actual, tolerances, level=level, reference=self.golden.reference
        )
        return verification, ran

    def _derive(self, precision: Precision) -> dict[str, Tolerance]:
        if precision not in self._tolerances:
            assert self.golden is not None
            self._tolerances[precision] = derive_tolerances(
                self.original,
                self.golden,
                precision,
                self.open_reference,
            )
        return self._tolerances[precision]

    def _facts(
        self,
        backend: Backend,
        fitted: _Fitted,
        verification: Mapping[str, Any],
        backend_rss_bytes: int,
    ) -> Mapping[str, Any]:
        source = self.imported.source
        seconds = {
            stage: round(self.seconds.get(stage, 0.0), 3)
            for stage in ("frontend", "passes", "legalize", "emit", "verify")
        }
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "target": str(backend),
            "source": source.to_json(),
            "inputs": [spec.to_json() for spec in input_specs(self.original)],
            "outputs": [spec.to_json() for spec in output_specs(self.original)],
            "pipeline": [*(str(pass_) for pass_ in self.pipeline), *fitted.specs],
            "passes": [record.to_json() for record in [*self.records, *fitted.records]],
            "verification": verification,
            "environment": environment((*_DISTRIBUTIONS, f"irconv-{backend.name}")),
            "seconds": seconds | {"total": round(sum(seconds.values()), 3)},
            "peak_rss_bytes": max(peak * unit, self.worker_peak),
            "backend_rss_bytes": backend_rss_bytes,
        }


def _added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


_DISTRIBUTIONS = (
    "irconv", "ml_dtypes", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "openvino",
    "tensorrt-rtx-cu13", "torch",
)  # fmt: skip
