"""Preflight of a model for several targets at once, before anything is built.

For every node of the source: supported as it is, legalized by a named pass, or unsupported
with the reason and the way out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx_ir as ir

from irconv.backends.base import Backend
from irconv.config import CompileOptions
from irconv.errors import Diagnostic, IrconvError, UnsupportedError
from irconv.graph.snapshot import snapshot
from irconv.graph.walk import all_nodes
from irconv.importing import import_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import (
    MAX_ROUNDS,
    build_pipeline,
    resolve_pipeline,
    spec_texts,
    target_pipeline,
)
from irconv.plugins import Registry, load_registry
from irconv.shapes import DimRange, parse_shapes

__all__ = ["TargetCheck", "check_model"]


@dataclass
class TargetCheck:
    """What one target makes of a model.

    Attributes:
        target: Spec text of the target.
        supported: Nodes that reach the target as they are, counted by operator.
        legalized: For each legalization pass that changed the graph: nodes before and after.
        diagnostics: Everything that the target cannot express.
    """

    target: str
    supported: dict[str, int] = field(default_factory=dict)
    legalized: dict[str, tuple[int, int]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return {
            "target": self.target,
            "ok": not self.diagnostics,
            "supported": self.supported,
            "legalized": {name: list(counts) for name, counts in self.legalized.items()},
            "diagnostics": [asdict(diagnostic) for diagnostic in self.diagnostics],
        }


def check_model(
    source: str,
    targets: Sequence[str],
    options: CompileOptions,
    *,
    registry: Registry | None = None,
) -> list[TargetCheck]:
    """Check a model against targets; no SDK needs to be installed.

    Raises:
        InputError: If the model cannot be read.
        UsageError: If a target is unknown.
    """
    registry = registry or load_registry()
    names = list(registry.backends()) if "all" in targets else list(targets)
    backends = [registry.build_backend(name) for name in names]
    shapes = parse_shapes(options.shapes)
    asked = (options.level, options.passes, options.quantize, options.prune, shapes)
    pipelines = [resolve_pipeline(registry, *asked, backend) for backend in backends]
    optimized: dict[tuple[str, ...], ir.Model] = {}
    with import_model(source, options, registry) as imported:
        for pipeline in pipelines:
            if spec_texts(pipeline) not in optimized:
                manager = PassManager(pipeline, max_rounds=MAX_ROUNDS, check="end")
                result = manager.run(snapshot(imported.model), PassContext(shapes=shapes))
                optimized[spec_texts(pipeline)] = result.model
        return [
            _check(backend, optimized[spec_texts(pipeline)], shapes, registry, options)
            for backend, pipeline in zip(backends, pipelines, strict=True)
        ]


def _check(
    backend: Backend,
    model: ir.Model,
    shapes: dict[str, DimRange],
    registry: Registry,
    options: CompileOptions,
) -> TargetCheck:
    result = TargetCheck(str(backend))
    context = PassContext(abilities=backend.abilities(), shapes=shapes)
    added = target_pipeline(registry, backend, options.level, options.passes)
    manager = PassManager(
        build_pipeline(registry, backend.legalization()), strict=True, check="end"
    )
    try:
        optimized = PassManager(added, check="end").run(snapshot(model), context).model
        outcome = manager.run(optimized, context)
        result.diagnostics = backend.check(outcome.model, shapes)
    except UnsupportedError as error:
        result.diagnostics = list(error.diagnostics)
        return result
    except IrconvError as error:
        result.diagnostics = [Diagnostic("LEGALIZE", error.what, way_out=error.hint)]
        return result
    result.legalized = {
        record.name: (record.nodes_before, record.nodes_after)
        for record in outcome.records
        if record.modified
    }
    refused = {diagnostic.node for diagnostic in result.diagnostics if diagnostic.node}
    result.supported = dict(
        Counter(
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for node in all_nodes(outcome.model)
            if node.name not in refused
        ).most_common()
    )
    return result
