"""The order of passes, from what each declares in ``after``."""

from __future__ import annotations

from collections.abc import Iterable

from irconv.errors import UsageError
from irconv.passes.base import Pass

__all__ = ["order_passes"]


def order_passes(passes: Iterable[Pass]) -> list[Pass]:
    """Sort passes so that each comes after those it names, else in the given order.

    Where a named pass is there several times, its first instance must come before: the later
    ones stand where they are on purpose. Instances of one pass keep their order.

    Raises:
        UsageError: If the declarations form a cycle; the cycle is printed.
    """
    pipeline = list(passes)
    first: dict[str, int] = {}
    for position, pass_ in enumerate(pipeline):
        first.setdefault(pass_.name, position)
    constraints = [
        (first[name], position)
        for position, pass_ in enumerate(pipeline)
        for name in pass_.after
        if name in first
    ]
    if all(earlier < position for earlier, position in constraints):
        return pipeline
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(pipeline)))
    graph.add_edges_from(constraints)
    graph.add_edges_from(
        (first[pass_.name], position)
        for position, pass_ in enumerate(pipeline)
        if first[pass_.name] < position
    )
    try:
        ordered = list(nx.lexicographical_topological_sort(graph))
    except nx.NetworkXUnfeasible as error:
        edges = nx.find_cycle(graph)
        path = [pipeline[edge[0]].name for edge in edges] + [pipeline[edges[0][0]].name]
        raise UsageError(
            "the passes cannot be ordered: " + " -> ".join(path),
            where="pass order",
            hint="each arrow means 'must come before'; one of these `after` must go",
        ) from error
    return [pipeline[position] for position in ordered]
