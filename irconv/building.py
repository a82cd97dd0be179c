"""The stages before an artifact: source, goldens, passes, legalization.

What ``compile`` does and what ``bisect`` takes apart is the same code, so that a fault is looked
for in the build that has it.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from irconv.backends.base import Backend, Precision
from irconv.config import CompileOptions
from irconv.errors import UnsupportedError
from irconv.frontends.base import Imported
from irconv.graph.snapshot import snapshot
from irconv.importing import import_model
from irconv.measuring.observer import MeasureObserver, with_left_out
from irconv.passes.base import Pass, PassContext
from irconv.passes.manager import Observer, PassManager, PassRecord
from irconv.passes.order import order_passes
from irconv.passes.pipelines import (
    HIGHEST_LEVEL,
    MAX_ROUNDS,
    build_pipeline,
    relaxed_passes,
    resolve_pipeline,
    spec_texts,
    target_pipeline,
)
from irconv.plugins import Registry
from irconv.runtime.base import Feeds
from irconv.runtime.reference import ReferenceRuntime
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import DimRange, parse_shapes
from irconv.verify.golden import Golden, load_golden
from irconv.verify.legalized import LegalizationObserver
from irconv.verify.observers import AccuracyObserver, DumpObserver, VerifyObserver
from irconv.verify.source import golden_from_source
from irconv.verify.tolerance import Tolerance, derive_tolerances

__all__ = ["Build", "Fitted", "Progress"]

Progress = Callable[[str], None]
"""Called with one line at the start of each stage."""


@dataclass(frozen=True)
class Fitted:
    """A model with everything that was done to it on the way to a target.

    Attributes:
        model: The model.
        records: What each pass did, those of the level first.
        specs: The passes as spec text, in the order in which they ran.
        effects: By output name, the largest absolute difference that lossy passes made.
    """

    model: ir.Model
    records: list[PassRecord]
    specs: list[str]
    effects: dict[str, float]

    def then(
        self,
        model: ir.Model,
        records: Sequence[PassRecord],
        specs: Sequence[str],
        effects: Mapping[str, float],
    ) -> Fitted:
        """Return what more passes made of it; their records and effects are added."""
        names = {**self.effects, **effects}
        added = {name: self.effects.get(name, 0.0) + effects.get(name, 0.0) for name in names}
        return Fitted(model, [*self.records, *records], [*self.specs, *specs], added)


class Build:
    """One build: the state that its stages hand on.

    Args:
        source: Path of a model, or ``module:factory`` with ``options.trust``.
        options: Everything that shapes the build.
        registry: Where frontends and passes come from.
        progress: Called at the start of each stage.
        stack: What it opens is closed with this.
        runs: Whether models are run at all; without, there are no goldens and nothing is
            verified.
        observers: Called around each pass of every stage, after the build's own observers.
        backends: The targets.

    Attributes:
        seconds: Wall time by stage.
        original: The model as it was imported.
        optimized: What the level's pipeline made of it, by the spec texts that were asked for:
            one entry, or one for each choice of passes where targets avoid different ones.
        golden: Inputs and the source's outputs; None if nothing is run.
    """

    def __init__(
        self,
        source: str,
        options: CompileOptions,
        registry: Registry,
        progress: Progress,
        stack: contextlib.ExitStack,
        *,
        runs: bool = True,
        observers: Sequence[Observer] = (),
        backends: Sequence[Backend] = (),
    ) -> None:
        self.source = source
        self.options = options
        self.registry = registry
        self.progress = progress
        self.runs = runs
        self.shapes: dict[str, DimRange] = parse_shapes(options.shapes)
        self.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="irconv-")))
        self.reference = stack.enter_context(ReferenceRuntime(options.limits()))
        self.seconds: dict[str, float] = {}
        self.imported: Imported
        self.original: ir.Model
        self.optimized: dict[tuple[str, ...], Fitted] = {}
        self.golden: Golden | None = None
        self._pipelines: dict[str, list[Pass]] = {}
        self._pass_seconds: dict[tuple[str, ...], float] = {}
        self._stack = stack
        self._observers = tuple(observers)
        self._backends = tuple(backends)
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

    @property
    def samples(self) -> Sequence[Feeds]:
        """What models are run on; empty if nothing is run."""
        return self.golden.inputs if self.golden else ()

    def load(self) -> None:
        """Bring the source into the IR, and build the pipelines so that their errors come first."""
        options = self.options
        for backend in self._backends:
            self._pipelines[str(backend)] = resolve_pipeline(
                self.registry,
                options.level,
                options.passes,
                options.quantize,
                options.prune,
                self.shapes,
                backend,
            )
        with self.timed("frontend", f"reading {self.source}"):
            self.imported = self._stack.enter_context(
                import_model(self.source, options, self.registry)
            )
        self.original = snapshot(self.imported.model)

    def take_goldens(self) -> None:
        """Take inputs and the source framework's outputs, unless nothing will be run."""
        if not self.runs:
            return
        with self.timed("verify", "running the source for golden outputs"):
            self.golden = (
                load_golden(Path(self.options.golden))
                if self.options.golden
                else golden_from_source(self.imported, self.options)
            )

    def optimize(self) -> None:
        """Run the level's pipeline, once for all targets that avoid the same passes of it."""
        names: dict[tuple[str, ...], list[str]] = {}
        pipelines: dict[tuple[str, ...], list[Pass]] = {}
        for backend in self._backends:
            pipeline = self._pipelines[str(backend)]
            names.setdefault(spec_texts(pipeline), []).append(backend.name)
            pipelines[spec_texts(pipeline)] = pipeline
        for texts, pipeline in pipelines.items():
            targets = [] if len(pipelines) == 1 else names[texts]
            already = self.seconds.pop("passes", 0.0)
            self.optimized[texts] = self._optimize(pipeline, targets)
            self._pass_seconds[texts] = self.seconds["passes"]
            self.seconds["passes"] += already

    def _optimize(self, pipeline: Sequence[Pass], targets: Sequence[str]) -> Fitted:
        """Run one choice of the level's passes on a copy of the model.

        Args:
            pipeline: The passes.
            targets: Names of the targets that it is for; none if it is for all of them.
        """
        options = self.options
        observers: list[Observer] = []
        accuracy = AccuracyObserver(self.open_reference, self.samples)
        if self.samples:
            observers += _needed(accuracy, pipeline)
            if options.verify_each:
                observers.append(VerifyObserver(self.open_reference, self.samples, inside=True))
            elif options.level == HIGHEST_LEVEL:
                relaxed = relaxed_passes()
                observers.append(VerifyObserver(self.open_reference, self.samples, only=relaxed))
        if options.dump_ir:
            observers.append(DumpObserver(Path(options.dump_ir, "-".join(targets))))
        manager = PassManager(
            pipeline,
            strict=options.strict,
            max_rounds=MAX_ROUNDS,
            observers=[*observers, *self._observers],
            check="end",
        )
        purpose = f" for {', '.join(targets)}" if targets else ""
        with self.timed("passes", f"optimizing{purpose} ({len(pipeline)} passes)"):
            result = manager.run(snapshot(self.original), self.context())
        specs = list(spec_texts(manager.passes))
        return Fitted(result.model, result.records, specs, dict(accuracy.effects))

    def context(self, backend: Backend | None = None) -> PassContext:
        """Return what passes may use beside the graph, for one target or for all."""
        return PassContext(
            abilities=None if backend is None else backend.abilities(),
            calibration=self.samples,
            open_reference=self.open_reference,
            shapes=self.shapes,
        )

    def optimize_for(self, backend: Backend) -> Fitted:
        """Run what the level adds for the target on a copy of the model.

        What a pass did is kept only if the outputs stay within what its effect allows and, with
        ``measure``, only if it pays on the target.
        """
        options = self.options
        texts = spec_texts(self._pipelines[str(backend)])
        shared = self.optimized[texts]
        self.seconds["passes"] = self._pass_seconds[texts]
        passes = target_pipeline(self.registry, backend, options.level, options.passes)
        if not passes:
            return shared.then(snapshot(shared.model), [], [], {})
        with self.timed("passes", f"{backend.name}: optimizing for the target"):
            if not (self.samples and options.measure):
                added = self._run_added(shared.model, passes, backend, self._observers)
                return shared.then(added.model, added.records, added.specs, added.effects)
            measure = self._measure(backend)
            added = self._run_added(shared.model, passes, backend, [measure])
            if not measure.pending:
                return shared.then(added.model, added.records, added.specs, added.effects)
            rest = [p for n, p in enumerate(order_passes(passes)) if n not in measure.pending]
            again = self._run_added(shared.model, rest, backend, self._observers)
            records = with_left_out(added.records, again.records, measure.pending)
            return shared.then(again.model, records, added.specs, again.effects)

    def _run_added(
        self,
        model: ir.Model,
        passes: Sequence[Pass],
        backend: Backend,
        observers: Sequence[Observer],
    ) -> Fitted:
        """Run passes of a target once on a copy of the model, each held to its effect."""
        accuracy = AccuracyObserver(self.open_reference, self.samples)
        inside = self.options.verify_each
        verify = VerifyObserver(self.open_reference, self.samples, inside=inside)
        own: list[Observer] = [accuracy, verify] if self.samples else []
        manager = PassManager(passes, strict=self.options.strict, observers=[*own, *observers])
        result = manager.run(snapshot(model), self.context(backend))
        specs = list(spec_texts(manager.passes))
        return Fitted(result.model, result.records, specs, dict(accuracy.effects))

    def _measure(self, backend: Backend) -> MeasureObserver:
        return MeasureObserver(
            backend,
            self.registry,
            self.context(backend),
            self.options.limits(backend.name),
            self.shapes,
            self.samples[0],
            self.scratch,
        )

    def legalize(self, backend: Backend, optimized: Fitted) -> Fitted:
        """Fit a target's copy of the model to the target, in place.

        Raises:
            UnsupportedError: If the model has what the target cannot express.
            BackendError: If a legalization pass breaks its contract.
        """
        with self.timed("legalize", f"{backend.name}: fitting the graph to the target"):
            passes = build_pipeline(self.registry, backend.legalization())
            accuracy = AccuracyObserver(self.open_reference, self.samples)
            own = _needed(accuracy, passes) if self.samples else []
            if self.samples and self.options.verify_each:
                own.append(
                    LegalizationObserver(
                        self.open_reference, self.samples, strict=self.options.strict
                    )
                )
            manager = PassManager(
                passes,
                strict=True,
                observers=[*own, *self._observers],
                check="end",
                way_out="report it to the target's author with the model; another target may do",
            )
            result = manager.run(optimized.model, self.context(backend))
            diagnostics = backend.check(result.model, self.shapes)
        if diagnostics:
            raise UnsupportedError(str(backend), diagnostics, where=f"target {backend.name}")
        specs = spec_texts(manager.passes)
        return optimized.then(result.model, result.records, specs, accuracy.effects)

    def tolerances(self, precision: Precision) -> dict[str, Tolerance]:
        """Return how far each output may be off at a precision, derived once."""
        if precision not in self._tolerances:
            assert self.golden is not None
            self._tolerances[precision] = derive_tolerances(
                self.original, self.golden, precision, self.open_reference
            )
        return self._tolerances[precision]


def _needed(accuracy: AccuracyObserver, passes: Sequence[Pass]) -> list[Observer]:
    """Return the observer where it has something to measure."""
    return [accuracy] if any(pass_.effect == "lossy" for pass_ in passes) else []
