"""Converting a model to another version of the ONNX operator set, up or down.

Each node of the default domain is taken from version to version. A step that the two schemas
settle is taken as they say; one that changes the meaning has an adapter; and an operator that
the older opset lacks is replaced by the function body of its own ONNX schema. The C++ converter
of the ONNX project is not used: it copies all weights, skips local functions, and gives up on
the first operator without an adapter, such as Gelu on the way down.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

import onnx.defs
import onnx_ir as ir

from irconv.errors import Diagnostic, InputError, UnsupportedError
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.graph.snapshot import snapshot
from irconv.graph.unread import drop_unread
from irconv.graph.walk import all_graphs
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.opset.downward import DOWNWARD
from irconv.passes.opset.functions import expand
from irconv.passes.opset.schemas import history, schema_at, take_step
from irconv.passes.opset.site import Inexpressible, Site
from irconv.passes.opset.upward import UPWARD

__all__ = ["OLDEST_OPSET", "ConvertOpset"]

OLDEST_OPSET = 8
"""The oldest opset that models are converted to."""
_MAX_DEPTH = 32


@dataclass(frozen=True)
class ConvertOpset(Pass):
    """Convert the default domain to another opset version, or say what prevents it.

    Before::

        < ir_version: 10, opset_import: ["" : 18] >
        g (float[2, 3] x) => (float[2, 1] y)
        <int64[1] axes = {1}>
        {
            y = ReduceMean (x, axes)
        }

    After ``convert-opset{to=17}``::

        < ir_version: 10, opset_import: ["" : 17] >
        g (float[2, 3] x) => (float[2, 1] y) {
            y = ReduceMean <axes = [1]> (x)
        }

    Local functions are converted with the model. Other domains are left as they are.

    Attributes:
        to: The opset version wanted.
        below: Convert only a model that is older than this version, if given; where one of its
            nodes has no form in the version wanted, it stays as it is.
    """

    name: ClassVar[str] = "convert-opset"
    after: ClassVar[tuple[str, ...]] = ("bind-shapes",)
    effect: ClassVar[Effect] = "real-arithmetic"
    once: ClassVar[bool] = True

    to: int
    below: int | None = None

    def __post_init__(self) -> None:
        """Check the version.

        Raises:
            ValueError: If the installed onnx does not define it, or it is too old.
        """
        newest = onnx.defs.onnx_opset_version()
        if not OLDEST_OPSET <= self.to <= newest:
            raise ValueError(f"opset {self.to} is not one of {OLDEST_OPSET} to {newest}")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Convert; the model is changed as a whole or, if an error is raised, not at all.

        The pass has no sites: an opset holds for the whole model.

        Raises:
            InputError: If a node of the default domain is there and no version of it imported.
            UnsupportedError: If a node has no form in the version wanted; all are listed.
        """
        versions = [scope.opsets.get("") for scope in scopes(model)]
        if all(version in (self.to, None) for version in versions):
            return PassResult(False)
        if self.below is not None and model.opset_imports.get("", self.below) >= self.below:
            return PassResult(False)
        work = snapshot(model)
        if any(version is not None and version > self.to for version in versions):
            InferShapes().run(work, context)
        conversion = _Conversion(work, self.to)
        conversion.run()
        if conversion.problems and self.below is not None:
            refusals = [Refusal(item.node, item.op, item.reason) for item in conversion.problems]
            return PassResult(False, refusals=tuple(refusals))
        if conversion.problems:
            raise UnsupportedError(
                f"onnx opset {self.to}",
                conversion.problems,
                where="pass convert-opset",
                hint="choose a newer opset, or replace these operators in the source model",
            )
        model.graph = work.graph
        model.functions.clear()
        model.functions.update(work.functions)
        details = {
            "from": versions[0],
            "to": self.to,
            "replaced": dict(sorted(conversion.replaced.items())),
        }
        return PassResult(True, details)


@dataclass
class _Conversion:
    """One conversion of a whole model, in place, with every problem it met."""

    model: ir.Model
    to: int
    problems: list[Diagnostic] = field(default_factory=list)
    replaced: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        names = NameAllocator(self.model)
        for scope in scopes(self.model):
            version = scope.opsets.get("")
            for graph in tuple(scope.graphs()):
                for node in tuple(graph):
                    if node.domain == "" and node.graph is graph and version != self.to:
                        self._convert(node, version, names)
        holders: list[ir.Graph | ir.Function] = [*all_graphs(self.model)]
        holders += self.model.functions.values()
        for holder in holders:
            if "" in holder.opset_imports:
                holder.opset_imports[""] = self.to

    def _convert(self, node: ir.Node, version: int | None, names: NameAllocator) -> None:
        if version is None:
            raise InputError(
                f"node {node.name!r} ({node.op_type}) is of the ONNX domain, of which the model "
                "imports no version",
                where="pass convert-opset",
            )
        name, op_type = node.name or "", node.op_type
        queue = deque([(node, version, 0)])
        while queue:
            current, at, depth = queue.popleft()
            if current.domain != "" or current.graph is None:
                continue
            site = Site(current, names)
            was = current.op_type
            inputs = tuple(current.inputs)
            try:
                if depth > _MAX_DEPTH:
                    raise Inexpressible("its decomposition does not end")
                self._take_steps(site, at)
            except Inexpressible as problem:
                reason = str(problem) if was == op_type else f"as {was}: {problem}"
                self.problems.append(Diagnostic("NO_CONVERSION", reason, name, op_type))
                return
            if site.replaced and depth == 0:
                self.replaced[op_type] += 1
            for value in inputs:
                drop_unread(value)
            queue.extend((made, made_at, depth + 1) for made, made_at in site.emitted)

    def _take_steps(self, site: Site, version: int) -> None:
        schema = schema_at(site.node.op_type, version)
        if schema is None:
            raise Inexpressible(f"ONNX has no such operator in opset {version}")
        if version < self.to:
            self._take_steps_up(site, schema)
        else:
            self._take_steps_down(site, schema)

    def _take_steps_up(self, site: Site, schema: Any) -> None:
        op_type = site.node.op_type
        for newer in history(op_type):
            if not schema.since_version < newer.since_version <= self.to:
                continue
            site.version = newer.since_version
            adapter = UPWARD.get((op_type, newer.since_version))
            if adapter is not None:
                adapter(site)
                if site.replaced:
                    return
            take_step(site, schema, newer)
            schema = newer

    def _take_steps_down(self, site: Site, schema: Any) -> None:
        op_type = site.node.op_type
        known = list(history(op_type))
        position = known.index(schema)
        while known[position].since_version > self.to:
            newer, older = known[position], known[position - 1] if position else None
            site.version = newer.since_version - 1
            undo = _Undo(site)
            try:
                adapter = DOWNWARD.get((op_type, newer.since_version))
                if adapter is not None:
                    adapter(site)
                    if site.replaced:
                        return
                if older is None:
                    raise Inexpressible(f"opset {self.to} has no {op_type}")
                take_step(site, newer, older)
            except Inexpressible:
                undo.run()
                if not expand(site, newer, self.to):
                    raise
                return
            position -= 1


class _Undo:
    """Takes back what a failed step did to a node."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.attributes = dict(site.node.attributes)
        self.inputs = tuple(site.node.inputs)
        self.emitted = len(site.emitted)

    def run(self) -> None:
        node = self.site.node
        node.attributes.clear()
        node.attributes.update(self.attributes)
        node.resize_inputs(len(self.inputs))
        for index, value in enumerate(self.inputs):
            node.replace_input_with(index, value)
        while len(self.site.emitted) > self.emitted:
            made, _ = self.site.emitted.pop()
            if made.graph is not None:
                made.graph.remove(made, safe=True)
