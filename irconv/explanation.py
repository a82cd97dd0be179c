"""Where a pass fired in a model, where it nearly did, and the first condition that failed.

The pipeline runs as a compilation runs it, up to the last place of the pass in it. The pass's
own account of its sites is taken where it gives one; else the sites are read from the difference
of the graph.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from irconv.backends.base import Abilities, Backend
from irconv.config import CompileOptions
from irconv.errors import UsageError
from irconv.graph.difference import Group, graph_difference
from irconv.graph.snapshot import snapshot
from irconv.importing import import_model
from irconv.passes.base import Pass, PassContext, Refusal, Site
from irconv.passes.manager import PassManager, PassRecord
from irconv.passes.pipelines import (
    MAX_ROUNDS,
    build_pipeline,
    resolve_pipeline,
    target_pipeline,
)
from irconv.plugins import Registry, load_registry
from irconv.shapes import parse_shapes
from irconv.spec import Spec, parse_spec

__all__ = ["Explanation", "Firing", "Reason", "explain_pass"]

_NAMES = re.compile(r"""(?<!\w)('[^']*'|"[^"]*")(?!\w)""")


@dataclass(frozen=True)
class Firing:
    """A place where the pass acted.

    Attributes:
        node: Name of the node.
        op: Its operator type before.
        became: The new or changed nodes there, as ``(name, operator type)``; empty where nodes
            were only removed, or where the graph does not tell which nodes belong to the site.
    """

    node: str
    op: str
    became: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Reason:
    """A condition that failed, and all nodes at which it was the first one to fail.

    Attributes:
        reason: The condition; names in it that differ from node to node are an ellipsis.
        refusals: One for each node, with the condition in full.
    """

    reason: str
    refusals: tuple[Refusal, ...]


@dataclass
class Explanation:
    """What a pass did to a model.

    Attributes:
        spec: Spec text of the pass.
        place: Where the pass stands, in words.
        pipeline: Spec texts of what ran, the pass included.
        runs: One record a run of the pass.
        fired: Where it acted, over all runs.
        refused: Where it nearly acted and still had not after its last run, the most frequent
            reason first.
        told: Whether the pass itself told all of the sites; else they are read from the graph,
            where a group of nodes that were changed together counts as one.
    """

    spec: str
    place: str
    pipeline: list[str]
    runs: list[PassRecord] = field(default_factory=list)
    fired: list[Firing] = field(default_factory=list)
    refused: list[Reason] = field(default_factory=list)
    told: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON object."""
        return {
            "pass": self.spec,
            "place": self.place,
            "pipeline": self.pipeline,
            "runs": [record.to_json() for record in self.runs],
            "fired": [
                {
                    "node": firing.node,
                    "op": firing.op,
                    "became": [{"node": node, "op": op} for node, op in firing.became],
                }
                for firing in self.fired
            ],
            "sites_from": "pass" if self.told else "graph",
            "refused": [
                {
                    "reason": reason.reason,
                    "count": len(reason.refusals),
                    "nodes": [dataclasses.asdict(refusal) for refusal in reason.refusals],
                }
                for reason in self.refused
            ],
        }


@dataclass(frozen=True)
class _Stage:
    """Passes that run as one pipeline."""

    passes: Sequence[Pass]
    place: str
    rounds: int = 1
    abilities: Abilities | None = None


def explain_pass(
    source: str,
    pass_: str,
    options: CompileOptions,
    *,
    registry: Registry | None = None,
) -> Explanation:
    """Run the pipeline as far as a pass and say what the pass did.

    Args:
        source: A model as for ``compile``.
        pass_: Spec text of the pass. With options it takes the place of the pipeline's own.
        options: At most one target; the level, or the passes in its place; how to read the
            source.
        registry: Plugins to use; None loads the installed ones.

    Raises:
        UsageError: If there is no such pass, or more than one target.
        InputError: If the model cannot be read.
        BackendError: If the target's own passes fail on the model.
    """
    registry = registry or load_registry()
    asked = parse_spec(pass_)
    registry.pass_class(asked.name)
    if len(options.targets) > 1:
        raise UsageError("explain looks at one target at most", where="--target")
    backend = registry.build_backend(options.targets[0]) if options.targets else None
    stages = _stages(registry, backend, asked, options)
    watch = _Watch(asked.name)
    shapes = parse_shapes(options.shapes)
    records: list[PassRecord] = []
    pipeline: list[str] = []
    with import_model(source, options, registry) as imported:
        model = imported.model
        for stage in stages:
            manager = PassManager(stage.passes, max_rounds=stage.rounds, observers=[watch])
            result = manager.run(model, PassContext(abilities=stage.abilities, shapes=shapes))
            model = result.model
            records += result.records
            pipeline += [str(item) for item in manager.passes]
    runs = [record for record in records if record.name == asked.name]
    return Explanation(
        spec=runs[-1].spec,
        place=stages[-1].place,
        pipeline=pipeline,
        runs=runs,
        fired=watch.fired,
        refused=_by_reason(runs[-1].refusals),
        told=watch.told,
    )


def _stages(
    registry: Registry, backend: Backend | None, asked: Spec, options: CompileOptions
) -> list[_Stage]:
    """Return what runs, the last stage being the last one that the pass is part of."""
    level = resolve_pipeline(
        registry,
        options.level,
        options.passes,
        options.quantize,
        options.prune,
        parse_shapes(options.shapes),
        backend,
    )
    name = f"-O {options.level}" if options.passes is None else "--passes"
    stages = [_Stage(level, f"in the pipeline of {name}", MAX_ROUNDS)]
    if backend is not None:
        abilities = backend.abilities()
        added = target_pipeline(registry, backend, options.level, options.passes)
        fitting = build_pipeline(registry, list(backend.legalization()))
        stages += [
            _Stage(added, f"in what target {backend} adds to -O {options.level}", 1, abilities),
            _Stage(fitting, f"in the legalization of target {backend}", 1, abilities),
        ]
    while stages and not any(item.name == asked.name for item in stages[-1].passes):
        stages.pop()
    if asked.options:
        stages = [_with_options(registry, stage, asked) for stage in stages]
    return stages or _alone(registry, level, backend, asked, name)


def _with_options(registry: Registry, stage: _Stage, asked: Spec) -> _Stage:
    passes = [
        registry.build_pass(asked) if item.name == asked.name else item for item in stage.passes
    ]
    return dataclasses.replace(stage, passes=passes)


def _alone(
    registry: Registry, level: Sequence[Pass], backend: Backend | None, asked: Spec, name: str
) -> list[_Stage]:
    """Return the level's pipeline, then the pass after what its ``after`` asks for besides."""
    there = {item.name for item in level}
    needed = [item for item in _predecessors(registry, asked.name) if item not in there]
    passes = build_pipeline(registry, [*needed, asked])
    abilities = None if backend is None else backend.abilities()
    asks = f", after {', '.join(needed)} as it asks" if needed else ""
    return [
        _Stage(level, name, MAX_ROUNDS),
        _Stage(passes, f"in no pipeline that was asked for; run behind {name}{asks}", 1, abilities),
    ]


def _predecessors(registry: Registry, name: str) -> list[str]:
    """Return the passes that must come before one, those that can be built without options."""
    found: list[str] = []
    classes = registry.passes()
    stack = [*classes[name].after]
    while stack:
        other = stack.pop()
        cls = classes.get(other)
        if (
            cls is None
            or other in found
            or any(item.default is dataclasses.MISSING for item in dataclasses.fields(cls))
        ):
            continue
        found.append(other)
        stack += cls.after
    return found[::-1]


class _Watch:
    """Sees what each run of one pass changed.

    Attributes:
        fired: Where the pass acted.
        told: Whether each run that changed the model told its sites.
    """

    def __init__(self, name: str) -> None:
        self.fired: list[Firing] = []
        self.told = True
        self._name = name
        self._before: ir.Model | None = None

    def before(self, pass_: Pass, model: ir.Model) -> None:
        """Keep the model as it is."""
        self._before = snapshot(model) if pass_.name == self._name else None

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        """Compare with the model as it was."""
        if self._before is not None and record.modified:
            groups = graph_difference(self._before, model)
            self.fired += _firings(record.sites, groups) if record.sites else _read(groups)
            self.told = self.told and bool(record.sites)
        self._before = None


def _firings(sites: Sequence[Site], groups: Sequence[Group]) -> list[Firing]:
    group_of = {node.name: group for group in groups for node in group.before}
    counts = Counter(id(group_of.get(site.node)) for site in sites)
    firings: list[Firing] = []
    for site in sites:
        group = group_of.get(site.node)
        alone = group is not None and counts[id(group)] == 1
        firings.append(Firing(site.node, site.op, _became(group) if group and alone else ()))
    return firings


def _read(groups: Sequence[Group]) -> list[Firing]:
    firings: list[Firing] = []
    for group in groups:
        nodes = group.before or group.after
        last = nodes[-1]
        firings.append(Firing(last.name or "", last.op_type, _became(group)))
    return firings


def _became(group: Group) -> tuple[tuple[str, str], ...]:
    return tuple((node.name or "", node.op_type) for node in group.after)


def _by_reason(refusals: Sequence[Refusal]) -> list[Reason]:
    found: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        found.setdefault(_NAMES.sub("'…'", refusal.reason), []).append(refusal)
    reasons = [
        Reason(items[0].reason if len(items) == 1 else text, tuple(items))
        for text, items in found.items()
    ]
    return sorted(reasons, key=lambda reason: -len(reason.refusals))
