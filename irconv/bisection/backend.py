"""Which tensor a target gets wrong of a graph that is right.

The legalized model is emitted once with its intermediate values as outputs. If the output in
question is still wrong there, the first of those values that is off is the answer. Outputs keep
an emitter from fusing across them, so the fault may vanish; then the model is cut off at values
instead, bisected in topological order, and from the wrong value that this gives the search goes
on upstream as long as an input of its node is wrong as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from irconv.backends.base import Backend, Precision
from irconv.bisection.result import FoundTensor
from irconv.bisection.search import first_bad
from irconv.building import Build
from irconv.errors import IrconvError
from irconv.graph.scopes import nested_nodes
from irconv.runtime.artifact import ArtifactWorker
from irconv.runtime.base import Feeds, Value
from irconv.verify.extract import extract
from irconv.verify.golden import Golden
from irconv.verify.metrics import OutputMetrics, compare_outputs
from irconv.verify.source import run_all
from irconv.verify.tolerance import derive_tolerances

__all__ = ["BackendSearch"]

_MOST_OUTPUTS = 256
"""More values than that are not made outputs at once."""


class BackendSearch:
    """The search for one target and one output.

    Args:
        build: The build, after its goldens were taken.
        backend: The target's backend.
        model: The legalized model, which is right in the reference runtime.
        output: Name of the output that the artifact gets wrong.

    Attributes:
        runs: How many artifacts were run.
    """

    def __init__(self, build: Build, backend: Backend, model: ir.Model, output: str) -> None:
        self.runs = 0
        self._build = build
        self._backend = backend
        self._model = model
        self._output = output

    def find(self) -> FoundTensor | None:
        """Return the first tensor that the target gets wrong; None if it could not be told."""
        candidates = _upstream_values(self._model, self._output)
        names = [value.name or "" for value in candidates]
        if len(names) <= _MOST_OUTPUTS:
            wrong = self._wrong([*names, self._output])
            if wrong and self._output in wrong:
                first = next(name for name in (*names, self._output) if name in wrong)
                return self._found(first, wrong[first])
        return self._cut([*names, self._output])

    def _cut(self, names: Sequence[str]) -> FoundTensor | None:
        verdicts: dict[str, tuple[OutputMetrics, float]] = {}

        def is_bad(number: int) -> bool | None:
            wrong = self._wrong([names[number]])
            if wrong is None:
                return None
            verdicts.update(wrong)
            return bool(wrong)

        good, bad = first_bad(-1, len(names) - 1, is_bad)
        name = names[bad]
        if bad - good > 1 or (name not in verdicts and not is_bad(bad)):
            return None
        while (upstream := self._wrong_input(name, set(names), verdicts)) is not None:
            name = upstream
        return self._found(name, verdicts[name])

    def _wrong_input(
        self, name: str, known: set[str], verdicts: dict[str, tuple[OutputMetrics, float]]
    ) -> str | None:
        node = _producers(self._model)[name]
        for value in node.inputs:
            if value is None or value.name not in known:
                continue
            wrong = self._wrong([value.name])
            if wrong:
                verdicts.update(wrong)
                return value.name
        return None

    def _found(self, name: str, verdict: tuple[OutputMetrics, float]) -> FoundTensor:
        node = _producers(self._model)[name]
        metrics, limit = verdict
        distance = None if metrics.nonfinite_mismatches or metrics.problem else metrics.max_abs
        return FoundTensor(name, node.name or "", node.op_type, distance, limit)

    def _wrong(self, names: Sequence[str]) -> dict[str, tuple[OutputMetrics, float]] | None:
        """Return which of some values the target gets wrong; None if it cannot be run."""
        build = self._build
        part = extract(self._model, dict.fromkeys(names))
        inputs = {value.name for value in part.graph.inputs}
        samples = [
            {name: value for name, value in feeds.items() if name in inputs}
            for feeds in build.samples
        ]
        self.runs += 1
        try:
            with build.open_reference(part) as reference:
                expected = reference.run_all(samples)
            actual, precision = self._run(part, samples)
            compared = compare_outputs(expected, actual)
            differing = [name for name, metrics in compared.items() if not metrics.equal]
            if not differing:
                return {}
            golden = Golden(samples, expected, "data", None, {})
            limits = derive_tolerances(part, golden, precision, build.open_reference)
        except IrconvError:
            return None
        return {
            name: (compared[name], limits[name].value)
            for name in differing
            if _beyond(compared[name], limits[name].value)
        }

    def _run(
        self, part: ir.Model, samples: Sequence[Feeds]
    ) -> tuple[list[dict[str, Value]], Precision]:
        limits = self._build.options.limits(self._backend.name)
        with (
            tempfile.TemporaryDirectory(prefix="irconv-bisect-") as folder,
            ArtifactWorker(self._backend, limits, self._build.shapes) as worker,
        ):
            artifact = worker.emit(part, Path(folder))
            with worker.open(Path(folder), artifact) as runner:
                return run_all(runner, samples), artifact.precision


def _beyond(metrics: OutputMetrics, limit: float) -> bool:
    return bool(metrics.problem or metrics.nonfinite_mismatches) or (
        metrics.max_abs > limit or not limit
    )


def _producers(model: ir.Model) -> dict[str, ir.Node]:
    return {value.name or "": node for node in model.graph for value in node.outputs}


def _upstream_values(model: ir.Model, output: str) -> list[ir.Value]:
    """Return the tensors of known type that an output depends on, in topological order."""
    needed: set[ir.Node] = set()
    stack = [_producers(model)[output]]
    while stack:
        node = stack.pop()
        if node in needed:
            continue
        needed.add(node)
        for inner in (node, *nested_nodes(node)):
            for value in inner.inputs:
                producer = None if value is None else value.producer()
                if producer is not None and producer.graph is model.graph:
                    stack.append(producer)
    return [
        value
        for node in model.graph
        if node in needed and node.op_type != "Constant"
        for value in node.outputs
        if value.name and value.name != output and isinstance(value.type, ir.TensorType)
    ]
