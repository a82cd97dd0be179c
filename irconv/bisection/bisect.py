"""Which pass, which rewrite in it and which tensor broke an output of a target.

The algorithm:

1. Build the target as ``compile`` does, keeping the model after every pass that changed it, and
   judge the artifact. The first output that is off is looked at, unless another is named.
2. Run the legalized model itself in the reference runtime. If it is right there, the emitter or
   the runtime of the target is to blame, and the tensors are searched by emitting parts of the
   model (:mod:`irconv.bisection.backend`).
3. Else bisect the list of passes: the first after which the reference gives a wrong output.
   A model that is wrong before any pass was imported wrongly.
4. Bisect the rewrites of that pass, by the number of sites at which it may act, and compare the
   tensors around the one that broke the output (:mod:`irconv.bisection.sites`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

from irconv.backends.base import Backend
from irconv.bisection.backend import BackendSearch
from irconv.bisection.result import Bisection, Culprit
from irconv.bisection.search import first_bad
from irconv.bisection.sites import find_rewrite, first_moved
from irconv.bisection.steps import Step, StepRecorder
from irconv.building import Build, Fitted, Progress
from irconv.config import CompileOptions
from irconv.errors import InputError, IrconvError, MissingError, UsageError
from irconv.plugins import Registry, load_registry
from irconv.runtime.artifact import ArtifactWorker
from irconv.spec import parse_spec
from irconv.verify.precision import model_precision
from irconv.verify.source import run_all
from irconv.verify.tolerance import add_effects
from irconv.verify.verifier import OutputVerdict, Verification, judge

__all__ = ["bisect_model"]


def bisect_model(
    source: str,
    options: CompileOptions,
    *,
    output: str | None = None,
    registry: Registry | None = None,
    progress: Progress = lambda _: None,
) -> Bisection:
    """Find what broke an output of a target.

    Args:
        source: A model as for ``compile``.
        options: Exactly one target, and everything else as for ``compile``.
        output: Name of the output to look at; None for the first that differs.
        registry: Plugins to use; None loads the installed ones.
        progress: Called at the start of each stage.

    Raises:
        UsageError: If there is not one target, or no such output.
        InputError: If the model or the data cannot be used, or the data prove nothing.
        MissingError: If a framework is not installed.
        UnsupportedError: If the target cannot express the model.
        BackendError: If the source cannot be run, or the backend crashes.
    """
    registry = registry or load_registry()
    if len(options.targets) != 1 or options.targets == ("all",):
        raise UsageError("bisect looks at exactly one target", hint="add --target T")
    backend = registry.build_backend(parse_spec(options.targets[0]))
    recorder = StepRecorder()
    with contextlib.ExitStack() as stack:
        build = Build(
            source,
            options,
            registry,
            progress,
            stack,
            observers=[recorder],
            backends=[backend],
        )
        build.load()
        build.take_goldens()
        names = [value.name for value in build.original.graph.outputs]
        if output is not None and output not in names:
            raise UsageError(f"there is no output {output!r}", hint=f"outputs: {names}")
        recorder.stage = "the pipeline that all targets share"
        build.optimize()
        recorder.stage, recorder.for_target = f"what target {backend} adds to -O 3", True
        optimized = build.optimize_for(backend)
        recorder.stage = f"the legalization of target {backend}"
        fitted = build.legalize(backend, optimized)
        return _Search(build, backend, fitted, recorder.steps, output).run()


_NOT_RUN = "the legalized model does not run in the reference runtime"


class _Search:
    """One bisection, after everything was built."""

    def __init__(
        self,
        build: Build,
        backend: Backend,
        fitted: Fitted,
        steps: list[Step],
        output: str | None,
    ) -> None:
        self.build = build
        self.backend = backend
        self.fitted = fitted
        self.steps = steps
        self.output = output
        self.runs = 0

    def run(self) -> Bisection:
        """Go through the steps of the algorithm."""
        verdict, note = self._artifact_verdict()
        if verdict is None:
            what = f"output {self.output!r} is" if self.output else "all outputs are"
            return self._result("none", f"{what} within tolerance: there is nothing to find", note)
        self.output = verdict.name
        self.build.progress(f"looking for what broke output {verdict.name!r}")
        in_graph = self._is_bad(self.fitted.model, self.fitted.effects)
        if in_graph is False:
            return dataclasses.replace(self._in_backend(), output=verdict, note=note)
        if in_graph is None:
            note = "; ".join(filter(None, (note, _NOT_RUN)))
        models = [self.build.original, *(step.after for step in self.steps)]
        effects: list[Mapping[str, float]] = [{}, *(step.effects for step in self.steps)]
        if not self.steps or self._is_bad(models[0], {}):
            return dataclasses.replace(self._in_import(), output=verdict, note=note)
        good, bad = first_bad(
            0, len(models) - 1, lambda number: self._is_bad(models[number], effects[number])
        )
        if in_graph is None and bad == len(models) - 1:
            return dataclasses.replace(self._after(good), output=verdict, note=note)
        if bad - good > 1:
            return dataclasses.replace(self._between(good, bad), output=verdict, note=note)
        return dataclasses.replace(self._in_pass(self.steps[bad - 1]), output=verdict, note=note)

    def _result(
        self, culprit: Culprit, summary: str, note: str = "", way_out: str = ""
    ) -> Bisection:
        return Bisection(
            str(self.backend),
            culprit,
            summary,
            runs=self.runs,
            note=note,
            way_out=way_out,
        )

    def _artifact_verdict(self) -> tuple[OutputVerdict | None, str]:
        """Run the artifact; return the verdict on the output that is off, and what to know.

        Where the target cannot be run here, the legalized model is judged in its place.
        """
        build = self.build
        limits = build.options.limits(self.backend.name)
        note = ""
        self.runs += 1
        try:
            with (
                tempfile.TemporaryDirectory(prefix="irconv-bisect-") as folder,
                ArtifactWorker(self.backend, limits, build.shapes) as worker,
            ):
                build.progress(f"{self.backend.name}: emitting and running the artifact")
                artifact = worker.emit(self.fitted.model, Path(folder))
                with worker.open(Path(folder), artifact) as runner:
                    assert build.golden is not None
                    actual = run_all(runner, build.golden.inputs)
            tolerances = add_effects(build.tolerances(artifact.precision), self.fitted.effects)
            verification = judge(build.golden, actual, tolerances, level="artifact", reference={})
        except MissingError as error:
            note = (
                f"the artifact itself was not run ({error.what}); the legalized model was, in the "
                "reference runtime"
            )
            verification = self._judge(self.fitted.model, self.fitted.effects)
        failed = [
            entry
            for entry in verification.outputs
            if not entry.ok and self.output in (None, entry.name)
        ]
        if not failed and self.output is None and verification.verdict == "fail":
            raise InputError(
                f"nothing can be found with these data: {verification.reason}",
                where="golden",
                hint="give real inputs with --data",
            )
        return (failed[0] if failed else None), note

    def _judge(self, model: ir.Model, effects: Mapping[str, float]) -> Verification:
        build = self.build
        assert build.golden is not None
        self.runs += 1
        with build.open_reference(model) as runner:
            actual = run_all(runner, build.golden.inputs)
        tolerances = add_effects(build.tolerances(model_precision(model)), effects)
        return judge(build.golden, actual, tolerances, level="graph", reference={})

    def _is_bad(self, model: ir.Model, effects: Mapping[str, float]) -> bool | None:
        """Say whether the output is off in the reference runtime; None if that cannot run."""
        try:
            verification = self._judge(model, effects)
        except IrconvError:
            return None
        return not all(entry.ok for entry in verification.outputs if entry.name == self.output)

    def _after(self, good: int) -> Bisection:
        """Say what is left where no model after a number of steps runs in the reference."""
        passes = ", ".join(step.record.spec for step in self.steps[good:])
        return self._result(
            "pass-or-backend",
            f"output {self.output!r} is right before {passes}; what comes after does not run in "
            f"the reference runtime: a pass of these, or the emitter or runtime of target "
            f"{self.backend}, broke it",
            way_out="report it to the target's author with the model; another target may do",
        )

    def _between(self, good: int, bad: int) -> Bisection:
        """Say what is left where the models between two steps do not run in the reference."""
        steps = self.steps[good:bad]
        passes = ", ".join(step.record.spec for step in steps)
        result = self._result(
            "pass",
            f"one of the passes {passes} broke output {self.output!r}; the models between "
            "them do not run in the reference runtime",
            way_out="report it to the authors of these passes with the model",
        )
        result.stage = steps[-1].stage
        result.tensor = first_moved(
            steps[0].before, steps[-1].after, self.build.samples, self.build.open_reference
        )
        return result

    def _in_import(self) -> Bisection:
        return self._result(
            "import",
            f"output {self.output!r} is off before any pass: the imported graph does not compute "
            "what the source does",
            way_out="compare frontends or their options (--frontend), and report it with the model",
        )

    def _in_backend(self) -> Bisection:
        self.build.progress(f"{self.backend.name}: looking for the tensor that it gets wrong")
        assert self.output is not None
        search = BackendSearch(self.build, self.backend, self.fitted.model, self.output)
        tensor = search.find()
        self.runs += search.runs
        where = "" if tensor is None else f" at {tensor.op} {tensor.node!r}"
        result = self._result(
            "backend",
            f"no pass broke output {self.output!r}: the graph that target {self.backend} was given "
            f"is right, and its emitter or runtime goes wrong{where}",
            way_out="report it with that graph (--dump-ir of compile); another precision or an "
            "option of the target may avoid it",
        )
        result.tensor = tensor
        return result

    def _in_pass(self, step: Step) -> Bisection:
        self.build.progress(f"looking into pass {step.record.spec}")
        context = self.build.context(self.backend if step.for_target else None)
        site, tensor = find_rewrite(
            step,
            context,
            lambda model: self._is_bad(model, step.effects),
            self.build.samples,
            self.build.open_reference,
        )
        summary = f"pass {step.record.spec} broke output {self.output!r}"
        if site is not None:
            which = f", its rewrite {site.index} of {site.count}" if site.index else ""
            summary += f" at {site.op} {site.node!r}{which}"
        result = self._result("pass", summary, way_out=self._way_out(step))
        result.pass_, result.stage = step.record.spec, step.stage
        result.round = step.record.round
        result.site, result.tensor = site, tensor
        return result

    def _way_out(self, step: Step) -> str:
        if step.stage.startswith("the legalization"):
            return "report it to the target's author with the model; another target may do"
        if step.for_target:
            return "build with -O 2 meanwhile, and report it to the pass's author"
        (optimized,) = self.build.optimized.values()
        rest = ",".join(
            text for text in optimized.specs if parse_spec(text).name != step.pass_.name
        )
        return f"build without it meanwhile, --passes '{rest}', and report it to its author"
