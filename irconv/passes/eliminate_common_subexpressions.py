"""Elimination of common subexpressions: equal nodes with equal inputs have equal outputs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.attribute_keys import attributes_key
from irconv.graph.determinism import is_random
from irconv.graph.edit import Editor
from irconv.graph.scoped import ScopedTable
from irconv.graph.scopes import ONNX_DOMAINS, Scope, scopes
from irconv.graph.walk import subgraphs_of
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites

__all__ = ["EliminateCommonSubexpressions"]


@dataclass(frozen=True)
class EliminateCommonSubexpressions(Pass):
    """Compute once what several nodes of the same operator compute from the same values.

    A body reuses what an enclosing graph computed before it. Only standard operators without
    bodies count: random ones, custom ones and calls of local functions never merge. Attributes
    are compared by content, floats by their bits.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            a = Exp(x)
            b = Exp(x)
            y = Add(a, b)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            a = Exp(x)
            y = Add(a, a)
        }
    """

    name: ClassVar[str] = "eliminate-common-subexpressions"
    after: ClassVar[tuple[str, ...]] = ("dedup-initializers", "eliminate-identity")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in one sweep by hashing; linear in nodes and in bytes of equal constants."""
        merger = _Merger(model, Sites(context))
        for scope in scopes(model):
            merger.merge(scope.graph, scope)
        merger.editor.finish()
        made = merger.sites.made
        return PassResult(bool(made), {"removed": len(made)}, tuple(merger.refusals), made)


class _Merger:
    def __init__(self, model: ir.Model, sites: Sites) -> None:
        self.editor = Editor(model)
        self.sites = sites
        self.refusals: list[Refusal] = []
        self._functions = model.functions
        self._seen: ScopedTable[Hashable, ir.Node] = ScopedTable()

    def merge(self, graph: ir.Graph, scope: Scope) -> None:
        with self._seen.scope():
            for node in graph:
                bodies = list(subgraphs_of(node))
                for body in bodies:
                    self.merge(body, scope)
                if not bodies and self._may_merge(node, scope):
                    first = self._seen.setdefault(_node_key(node), node)
                    if first is not node:
                        self._replace(node, first)

    def _may_merge(self, node: ir.Node, scope: Scope) -> bool:
        return (
            node.domain in ONNX_DOMAINS
            and node.op_identifier() not in self._functions
            and not node.device_configurations
            and not is_random(node, scope.opsets)
        )

    def _replace(self, node: ir.Node, first: ir.Node) -> None:
        pairs = [pair for pair in zip(node.outputs, first.outputs, strict=True) if pair[0].name]
        for old, new in pairs:
            reason = self.editor.blocker(old, new)
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
                return
        if not self.sites.permit(node):
            return
        for old, new in pairs:
            self.editor.redirect(old, new)
        self.editor.remove(node)


def _node_key(node: ir.Node) -> Hashable:
    """Return a key that only nodes with bit-equal outputs share."""
    return (
        node.op_identifier(),
        tuple(node.inputs),
        tuple(bool(value.name) for value in node.outputs),
        attributes_key(node),
    )
