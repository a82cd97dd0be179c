"""Graphs of a model together with the opsets that hold in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.walk import nested_graphs, subgraphs_of

__all__ = ["ONNX_DOMAINS", "Scope", "nested_nodes", "scopes"]

ONNX_DOMAINS = frozenset({"", "ai.onnx.ml"})
"""Domains whose operators are defined by the ONNX standard, and are pure unless they say so."""


@dataclass(frozen=True)
class Scope:
    """A top-level graph: the main graph, or the graph of a local function.

    Attributes:
        graph: The graph; bodies inside it belong to the same scope.
        opsets: Opset version of each imported domain.
        is_function: Whether it is a local function, which may hold no initializer.
    """

    graph: ir.Graph
    opsets: Mapping[str, int]
    is_function: bool

    def graphs(self) -> Iterator[ir.Graph]:
        """Yield the graph, then the bodies inside it."""
        yield self.graph
        yield from nested_graphs(self.graph)

    def nodes(self) -> Iterator[ir.Node]:
        """Yield the nodes of these graphs."""
        for graph in self.graphs():
            yield from graph


def scopes(model: ir.Model) -> Iterator[Scope]:
    """Yield the main graph, then each local function."""
    yield Scope(model.graph, model.opset_imports, is_function=False)
    for function in model.functions.values():
        opsets = {**model.opset_imports, **function.opset_imports}
        yield Scope(function.graph, opsets, is_function=True)


def nested_nodes(node: ir.Node) -> Iterator[ir.Node]:
    """Yield every node of every body inside ``node``, at any depth; not ``node`` itself."""
    stack = [node]
    while stack:
        for body in subgraphs_of(stack.pop()):
            for inner in body:
                yield inner
                stack.append(inner)
