"""Names of values: fresh ones, and those that mean different things in different graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import onnx_ir as ir

from irconv.graph.walk import all_graphs, nested_graphs

__all__ = ["NameAllocator", "ambiguous_names", "fresh_name"]


class NameAllocator:
    """Gives out names that collide with none in the model, bodies and functions included.

    Names of nodes are taken too, so that a new node may bear the name of its output; ONNX
    Runtime refuses two nodes of one name. The first name takes linear time, every further one
    constant time on average.

    Args:
        model: The model, or one top-level graph with the bodies inside it.
    """

    def __init__(self, model: ir.Model | ir.Graph) -> None:
        self._model = model
        self._counters: dict[str, int] = {}

    @cached_property
    def _taken(self) -> set[str]:
        taken: set[str] = set()
        for graph in _graphs(self._model):
            taken.update(_names(graph))
            taken.update(node.name for node in graph if node.name)
        return taken

    def fresh(self, base: str) -> str:
        """Return ``base``, or ``base_1``, ``base_2``, … where it is taken, and reserve it."""
        name = base or "value"
        stem, number = name, self._counters.get(name, 0)
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._counters[stem] = number
        self._taken.add(name)
        return name


def fresh_name(model: ir.Model | ir.Graph, base: str) -> str:
    """Return one name that is free everywhere in ``model``; linear in its size.

    Several names in a row come cheaper from one :class:`NameAllocator`.
    """
    return NameAllocator(model).fresh(base)


def ambiguous_names(model: ir.Model | ir.Graph) -> frozenset[str]:
    """Return the value names that more than one graph defines.

    ONNX forbids a body to hide an outer name, but such models exist. A reference to such a
    value must not be moved into another graph, where its name may stand for something else.

    Args:
        model: The model, whose functions count too, or one top-level graph with the bodies
            inside it.
    """
    graphs = list(_graphs(model))
    if len(graphs) == 1:
        return frozenset()
    seen: set[str] = set()
    ambiguous: set[str] = set()
    for graph in graphs:
        names = set(_names(graph))
        ambiguous |= names & seen
        seen |= names
    return frozenset(ambiguous)


def _graphs(model: ir.Model | ir.Graph) -> Iterable[ir.Graph]:
    if isinstance(model, ir.Model):
        return all_graphs(model)
    return (model, *nested_graphs(model))


def _names(graph: ir.Graph) -> Iterator[str]:
    for value in graph.inputs:
        yield value.name or ""
    yield from graph.initializers
    for node in graph:
        for output in node.outputs:
            yield output.name or ""
