"""The order of passes, from what each declares in ``after``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

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
    sorter = TopologicalSorter(dict.fromkeys(range(len(pipeline)), ()))
    for earlier, position in constraints:
        sorter.add(position, earlier)
    for position, pass_ in enumerate(pipeline):
        if first[pass_.name] < position:
            sorter.add(position, first[pass_.name])
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = [pipeline[position].name for position in error.args[1]]
        raise UsageError(
            "the passes cannot be ordered: " + " -> ".join(cycle),
            where="pass order",
            hint="each arrow means 'must come before'; one of these `after` must go",
        ) from error
    return [pipeline[position] for position in _least_first(sorter)]


def _least_first(sorter: TopologicalSorter[int]) -> Iterator[int]:
    """Yield positions, each the least of those that nothing unsorted must precede."""
    ready: list[int] = []
    while sorter.is_active():
        for position in sorter.get_ready():
            heappush(ready, position)
        position = heappop(ready)
        yield position
        sorter.done(position)
