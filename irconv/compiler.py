"""``compile``: the one place where the stages meet.

source → frontend → passes → legalize → emit → run and compare → bundle. Each target is emitted
and run in a worker process, judged against goldens that the *source* framework gave, and
published by one rename, or not at all.
"""

from __future__ import annotations

import contextlib
import resource
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irconv.backends.base import Artifact, Backend
from irconv.building import Build, Fitted, Progress
from irconv.bundle import GOLDEN, environment, write_manifest
from irconv.config import CompileOptions
from irconv.errors import IrconvError, MismatchError, MissingError, UsageError
from irconv.graph.atomic import publish_directory, staging_directory
from irconv.graph.interface import input_specs, output_specs
from irconv.passes.manager import PassRecord
from irconv.passes.pipelines import HIGHEST_LEVEL
from irconv.plugins import Registry, load_registry
from irconv.results import CompileResult, TargetResult
from irconv.runtime.artifact import ArtifactWorker
from irconv.spec import parse_spec
from irconv.verify.change import in_words
from irconv.verify.golden import save_golden
from irconv.verify.tolerance import add_effects
from irconv.verify.verifier import Verification, judge, not_run

__all__ = ["Progress", "compile_model"]


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
        InputError: If the model, the data or an option cannot be used, or nothing can be written.
        MissingError: If a target or framework is not installed.
        BackendError: If the source cannot be run, so that there is nothing to compare with.
    """
    registry = registry or load_registry()
    _check_measure(options, output)
    _check_verify_each(options, output)
    backends, skipped = _choose_backends(registry, options)
    names = _directory_names(backends)
    if output is not None:
        _check_output(output, names)
    with contextlib.ExitStack() as stack:
        build = _Compilation(source, output, options, registry, progress, stack, backends)
        build.load()
        build.take_goldens()
        build.optimize()
        results = [
            build.target(backend, name) for backend, name in zip(backends, names, strict=True)
        ]
        records = [record for made in build.optimized.values() for record in made.records]
        return CompileResult(results, records, skipped)


def _check_measure(options: CompileOptions, output: Path | None) -> None:
    """Refuse to measure where nothing would be measured."""
    if not options.measure:
        return
    reason = ""
    if options.level < HIGHEST_LEVEL:
        reason = "it is about the passes that a target adds to -O 3"
    elif options.passes is not None:
        reason = "--passes replaces the passes that a target adds to -O 3"
    elif output is None:
        reason = "a dry run builds nothing"
    if reason:
        raise UsageError(
            f"--measure has nothing to measure: {reason}",
            where="--measure",
            hint="use it with -O 3, without --passes and --dry-run",
        )


def _check_verify_each(options: CompileOptions, output: Path | None) -> None:
    """Refuse to verify where nothing is run."""
    if options.verify_each and output is None:
        raise UsageError(
            "--verify-each has nothing to compare: a dry run runs no model",
            where="--verify-each",
            hint="leave --dry-run out",
        )


def _check_output(output: Path, names: Sequence[str]) -> None:
    """See whether the bundles can be written before anything is built for them."""
    for name in names:
        with staging_directory(output / name):
            pass


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


class _Compilation(Build):
    """A build whose results are emitted, run, judged and published."""

    def __init__(
        self,
        source: str,
        output: Path | None,
        options: CompileOptions,
        registry: Registry,
        progress: Progress,
        stack: contextlib.ExitStack,
        backends: Sequence[Backend],
    ) -> None:
        runs = output is not None
        super().__init__(source, options, registry, progress, stack, runs=runs, backends=backends)
        self.output = output
        self.worker_peak = 0

    def target(self, backend: Backend, name: str) -> TargetResult:
        """Build one target; its failure is a result and does not stop the others."""
        result = TargetResult(str(backend))
        seconds = dict(self.seconds)
        try:
            fitted = self.legalize(backend, self.optimize_for(backend))
            if self.output is not None:
                self._emit_and_verify(backend, name, fitted, result)
        except IrconvError as error:
            result.error = error
        self.seconds = seconds
        return result

    def _emit_and_verify(
        self,
        backend: Backend,
        name: str,
        fitted: Fitted,
        result: TargetResult,
    ) -> None:
        assert self.output is not None
        assert self.golden is not None
        final = self.output / name
        with contextlib.ExitStack() as stack:
            staging = stack.enter_context(staging_directory(final))
            limits = self.options.limits(backend.name)
            worker = stack.enter_context(ArtifactWorker(backend, limits, self.shapes))
            with self.timed("emit", f"{backend.name}: emitting the artifact"):
                artifact = worker.emit(fitted.model, staging)
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
                    f"target {result.target}: {verification.reason}{_blamed(fitted.records)}",
                    where="verification",
                    hint=f"`irconv bisect {shlex.quote(self.source)} --target "
                    f"{shlex.quote(result.target)}` with the same "
                    "options names the pass, the rewrite and the tensor that broke it; "
                    "--allow-mismatch publishes it all the same",
                )
            if result.error is None or self.options.allow_mismatch:
                publish_directory(staging, final)
                result.directory = final

    def _verify(
        self,
        worker: ArtifactWorker,
        staging: Path,
        artifact: Artifact,
        effects: Mapping[str, float],
    ) -> tuple[Verification, dict[str, str]]:
        assert self.golden is not None
        with worker.open(staging, artifact) as runner:
            actual = runner.run_all(self.golden.inputs)
            level, ran = runner.level, runner.describe()
        tolerances = add_effects(self.tolerances(artifact.precision), effects)
        verification = judge(
            self.golden, actual, tolerances, level=level, reference=self.golden.reference
        )
        return verification, ran

    def _facts(
        self,
        backend: Backend,
        fitted: Fitted,
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
            "pipeline": fitted.specs,
            "passes": [record.to_json() for record in fitted.records],
            "verification": verification,
            "environment": environment((*_DISTRIBUTIONS, f"irconv-{backend.name}")),
            "seconds": seconds | {"total": round(sum(seconds.values()), 3)},
            "peak_rss_bytes": max(peak * unit, self.worker_peak),
            "backend_rss_bytes": backend_rss_bytes,
        }


def _blamed(records: Sequence[PassRecord]) -> str:
    """Return which pass was seen to move something, of those that could not be taken back."""
    for record in records:
        entry = record.details.get("verified", {})
        if record.modified and entry.get("verdict") == "fail":
            return f"; {in_words(entry)}"
    return ""


_DISTRIBUTIONS = (
    "irconv", "ml_dtypes", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "openvino",
    "tensorrt-rtx-cu13", "torch",
)  # fmt: skip
