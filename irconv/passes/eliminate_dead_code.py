"""Elimination of all that no output depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.edit import detach
from irconv.graph.optional_outputs import optional_outputs
from irconv.graph.scopes import Scope, scopes
from irconv.graph.walk import all_graphs, subgraphs_of
from irconv.passes.base import Pass, PassContext, PassResult, Site
from irconv.passes.sites import Sites

__all__ = ["EliminateDeadCode"]


@dataclass(frozen=True)
class EliminateDeadCode(Pass):
    """Remove unused nodes, initializers, optional outputs and local functions.

    A node stays if a graph output or a body inside a node that stays depends on it. Bodies lose
    what their own outputs do not need. An unused optional output loses its name, so that a
    backend need not compute it. Graph inputs, and the initializers that give them defaults,
    are part of the interface and stay.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y)
        <float[4] unused = {1, 2, 3, 4}> {
            a = Add(x, unused)
            b = Exp(a)
            y, mask = Dropout(x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            y = Dropout(x)
        }
    """

    name: ClassVar[str] = "eliminate-dead-code"
    after: ClassVar[tuple[str, ...]] = (
        "fold-constants",
        "eliminate-identity",
        "eliminate-no-op",
        "eliminate-common-subexpressions",
        "dedup-initializers",
    )

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Sweep once from the outputs to the inputs; linear in nodes and edges."""
        sites = Sites(context)
        counts = {"functions": 0, "nodes": 0, "outputs": 0}
        for scope in scopes(model):
            _sweep(scope.graph, scope, counts, sites)
        counts["functions"] = _sweep_functions(model, sites)
        counts["initializers"] = sum(
            _sweep_initializers(graph, sites) for graph in all_graphs(model)
        )
        return PassResult(bool(sites.made), counts, sites=sites.made)


def _sweep(graph: ir.Graph, scope: Scope, counts: dict[str, int], sites: Sites) -> None:
    dead: list[ir.Node] = []
    for node in reversed(graph):
        if not any(value.is_graph_output() or value.uses() for value in node.outputs):
            if sites.permit(node):
                detach(node)
                dead.append(node)
            continue
        for body in subgraphs_of(node):
            _sweep(body, scope, counts, sites)
        counts["outputs"] += _drop_outputs(node, scope, sites)
    graph.remove(dead)
    counts["nodes"] += len(dead)


def _drop_outputs(node: ir.Node, scope: Scope, sites: Sites) -> int:
    """Take the names off unused optional outputs, and cut off those at the end."""
    candidates = (node.outputs[index] for index in optional_outputs(node, scope.opsets))
    unused = [
        value
        for value in candidates
        if value.name and not value.is_graph_output() and not value.uses()
    ]
    if not unused or not sites.permit(node):
        return 0
    for value in unused:
        value.name, value.type, value.shape = "", None, None
    used = max(index for index, value in enumerate(node.outputs) if value.name)
    node.resize_outputs(used + 1)
    return len(unused)


def _sweep_initializers(graph: ir.Graph, sites: Sites) -> int:
    unused = [
        name
        for name, value in graph.initializers.items()
        if not (value.uses() or value.is_graph_output() or value.is_graph_input())
        and sites.permit(Site(name, "initializer"))
    ]
    for name in unused:
        del graph.initializers[name]
    return len(unused)


def _sweep_functions(model: ir.Model, sites: Sites) -> int:
    """Remove functions that no chain of calls from the main graph reaches."""
    if not model.functions:
        return 0
    nodes = [*model.graph.all_nodes()]
    reached: set[ir.OperatorIdentifier] = set()
    while nodes:
        identifier = nodes.pop().op_identifier()
        if identifier in model.functions and identifier not in reached:
            reached.add(identifier)
            nodes.extend(model.functions[identifier].all_nodes())
    unused = [
        identifier
        for identifier in model.functions
        if identifier not in reached and sites.permit(Site(identifier[1], "function"))
    ]
    for identifier in unused:
        del model.functions[identifier]
    return len(unused)
