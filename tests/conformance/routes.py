"""The ways a case can go: through irconv to a target, or straight into ONNX Runtime."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from compare import difference
from suite import Case

from irconv.backends.base import Backend, EmitRequest
from irconv.errors import Diagnostic, IrconvError, UnsupportedError
from irconv.graph.interface import output_specs
from irconv.graph.reading.load import load_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import MAX_ROUNDS, build_pipeline, resolve_pipeline
from irconv.plugins import Registry
from irconv.runtime.onnxruntime import OnnxRuntimeRunner

BASELINE = "onnxruntime"
"""Name of the route that leaves irconv out."""


class Route:
    """One target, by which many cases go.

    Args:
        target: Spec text of the target, or ``onnxruntime`` for the baseline.
        registry: The installed plugins.
        level: Optimization level of the passes.
    """

    def __init__(self, target: str, registry: Registry, level: int) -> None:
        self.backend: Backend | None = None
        if target != BASELINE:
            self.backend = registry.build_backend(target)
            self._passes = resolve_pipeline(registry, level)
            self._legalization = build_pipeline(registry, self.backend.legalization())

    def run(self, case: Case) -> str:
        """Run one case and return its status.

        Returns:
            ``pass``; ``refused: CODE reason`` where irconv says that the target cannot express
            it, with ``late STAGE: `` before it if ``check`` did not see it; ``fail: stage:
            words`` for everything else.
        """
        scratch = Path(tempfile.mkdtemp(prefix="irconv-conformance-"))
        try:
            if self.backend is None:
                return _run_baseline(case, scratch)
            return self._run_target(case, self.backend, scratch)
        finally:
            shutil.rmtree(scratch)

    def _run_target(self, case: Case, backend: Backend, scratch: Path) -> str:
        stage = "load"
        try:
            source = scratch / "source.onnx"
            onnx.save(case.model, source)
            model = load_model(source).model
            names = [spec.name for spec in output_specs(model)]
            stage = "passes"
            manager = PassManager(self._passes, strict=True, max_rounds=MAX_ROUNDS)
            model = manager.run(model, PassContext()).model
            stage = "legalize"
            manager = PassManager(self._legalization, strict=True)
            model = manager.run(model.clone(), PassContext(abilities=backend.abilities())).model
            stage = "check"
            diagnostics = backend.check(model, {})
            if diagnostics:
                return _refusal(diagnostics[0])
            stage = "emit"
            directory = scratch / "artifact"
            directory.mkdir()
            artifact = backend.emit(model, directory, EmitRequest())
            stage = "open"
            with backend.runner(directory, artifact) as runner:
                stage = "run"
                return _judge(case, runner, names)
        except UnsupportedError as error:
            return f"late {stage}: {_refusal(error.diagnostics[0])}"
        except IrconvError as error:
            return f"fail: {stage}: {error.what.splitlines()[0]}"


def _run_baseline(case: Case, scratch: Path) -> str:
    path = scratch / "model.onnx"
    onnx.save(case.model, path)
    names = [output.name for output in case.model.graph.output]
    try:
        with OnnxRuntimeRunner(path, threads=1) as runner:
            return _judge(case, runner, names)
    except IrconvError as error:
        return f"fail: {error.what.splitlines()[0]}"


def _refusal(diagnostic: Diagnostic) -> str:
    return f"refused: {diagnostic.code} {diagnostic}"


def _judge(case: Case, runner: Any, names: list[str]) -> str:
    for feeds, expected in case.samples():
        outputs: Mapping[str, Any] = runner.run(feeds)
        found = difference([outputs[name] for name in names], expected, case.tolerance)
        if found:
            return f"fail: mismatch: {found}"
    return "pass"
