"""Single assignment, definition of every input, and freedom of cycles, bodies included.

ONNX specification, "Graphs": every name is assigned once and a graph's nodes form a directed
acyclic graph. Nodes that are merely out of order are sorted, by Kahn's algorithm (Kahn 1962,
"Topological sorting of large networks"), keeping the given order where it is free.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from irconv.errors import InputError
from irconv.graph.preflight.messages import damaged, shown

if TYPE_CHECKING:
    import onnx

    class NodeList(Protocol):
        """The repeated field ``node`` of a graph or function."""

        def __iter__(self) -> Iterator[onnx.NodeProto]: ...
        def __len__(self) -> int: ...
        def __getitem__(self, index: int) -> onnx.NodeProto: ...
        def sort(self, *, key: Callable[[onnx.NodeProto], int]) -> None: ...


__all__ = ["Bodies", "check_scopes", "sort_function"]

Bodies = Callable[["onnx.NodeProto"], "Iterable[onnx.GraphProto]"]
_LONGEST_CYCLE = 12


@dataclass
class _Scope:
    """The names of one graph, and the graph that it is a body in."""

    label: str
    outer: _Scope | None
    names: dict[str, int] = field(default_factory=dict)
    """Index of the node that makes each name; -1 for inputs and initializers."""

    def define(self, name: str, maker: int) -> None:
        if name in self.names:
            raise _bad(self.label, f"the name {shown(name)} is assigned twice")
        self.names[name] = maker

    def enclosing(self) -> Iterator[_Scope]:
        scope = self.outer
        while scope is not None:
            yield scope
            scope = scope.outer


def check_scopes(graph: onnx.GraphProto, bodies: Bodies, note: Callable[[str], None]) -> None:
    """Check the main graph and the bodies inside it; sort what is out of order.

    Args:
        graph: The graph.
        bodies: Returns the bodies of a node.
        note: Takes what was changed, in plain words.

    Raises:
        InputError: If a name is assigned twice or never, or a cycle exists.
    """
    _check_graph(graph, None, bodies, note, "the graph")


def sort_function(
    function: onnx.FunctionProto, bodies: Bodies, note: Callable[[str], None], label: str
) -> None:
    """Check the body of a function like a graph; sort what is out of order.

    Raises:
        InputError: If a name is assigned twice or never, or a cycle exists.
    """
    scope = _Scope(label, None)
    for name in function.input:
        scope.define(name, -1)
    missing = _check_nodes(function.node, scope, bodies, note)
    missing |= {name for name in function.output if name not in scope.names}
    if missing:
        raise _bad(label, f"{shown(min(missing))} is used, but nothing defines it")


def _check_graph(
    graph: onnx.GraphProto,
    outer: _Scope | None,
    bodies: Bodies,
    note: Callable[[str], None],
    label: str,
) -> set[str]:
    """Check one graph; return the names that it takes from the graphs around it."""
    scope = _Scope(label, outer)
    for value in graph.input:
        if not value.name:
            raise _bad(label, "an input has no name")
        scope.define(value.name, -1)
    initialized: set[str] = set()
    for name in (tensor.name for tensor in graph.initializer):
        if not name:
            raise _bad(label, "an initializer has no name")
        if name in initialized:
            raise _bad(label, f"two initializers are named {shown(name)}")
        initialized.add(name)
        scope.names.setdefault(name, -1)
    captured = _check_nodes(graph.node, scope, bodies, note)
    twice = [name for name, n in Counter(value.name for value in graph.output).items() if n > 1]
    if twice:
        raise _bad(label, f"the output {shown(twice[0])} is listed twice")
    for value in graph.output:
        if value.name not in scope.names:
            captured.add(value.name)
    for name in captured:
        if not any(name in around.names for around in scope.enclosing()):
            raise _bad(label, f"{shown(name)} is used, but nothing defines it")
    return captured


def _ranks(order: list[int]) -> Iterator[int]:
    ranks = [0] * len(order)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return iter(ranks)


def _check_nodes(
    nodes: NodeList, scope: _Scope, bodies: Bodies, note: Callable[[str], None]
) -> set[str]:
    """Check and if need be sort nodes; return the names that they take from outside."""
    around = list(scope.enclosing())
    for index, node in enumerate(nodes):
        for name in node.output:
            if not name:
                continue
            scope.define(name, index)
            if any(name in outer.names for outer in around):
                raise _bad(scope.label, f"{shown(name)} is also assigned by a graph around it")
    needs: list[list[int]] = []
    outside: set[str] = set()
    sorted_already = True
    for index, node in enumerate(nodes):
        read = {name for name in node.input if name}
        for body in bodies(node):
            label = f"a body of node {shown(node.name)} ({node.op_type}) of {scope.label}"
            read |= _check_graph(body, scope, bodies, note, label)
        made_by = []
        for name in read:
            maker = scope.names.get(name)
            if maker is None:
                outside.add(name)
            elif maker >= 0:
                made_by.append(maker)
                sorted_already = sorted_already and maker < index
        needs.append(made_by)
    if not sorted_already:
        ranks = _ranks(_sort(nodes, needs, scope.label))
        nodes.sort(key=lambda _: next(ranks))
        note(f"the nodes of {scope.label} were out of order and have been sorted")
    return outside


def _sort(nodes: NodeList, needs: list[list[int]], label: str) -> list[int]:
    users: list[list[int]] = [[] for _ in nodes]
    waiting = [len(made_by) for made_by in needs]
    for index, made_by in enumerate(needs):
        for maker in made_by:
            users[maker].append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(nodes):
        raise _cycle(nodes, needs, waiting, label)
    return order


def _cycle(nodes: NodeList, needs: list[list[int]], waiting: list[int], label: str) -> InputError:
    at = next(index for index, count in enumerate(waiting) if count)
    seen: dict[int, int] = {}
    path: list[int] = []
    while at not in seen:
        seen[at] = len(path)
        path.append(at)
        at = next(maker for maker in needs[at] if waiting[maker])
    cycle = [*path[seen[at] :], at][::-1]
    names = [f"{shown(nodes[index].name)} ({nodes[index].op_type})" for index in cycle]
    if len(names) > _LONGEST_CYCLE:
        names[_LONGEST_CYCLE // 2 : -_LONGEST_CYCLE // 2] = ["…"]
    return _bad(label, f"its nodes form a cycle: {' -> '.join(names)}")


def _bad(label: str, problem: str) -> InputError:
    return damaged(f"{label}: {problem}")
