"""What one pass changed: the nodes that differ between two states of a model, in groups.

A node is known by the names of its outputs, since passes may rename nodes but keep the values
that others read. It is *touched* if it was removed, added, or now computes something else:
another operator, other attributes, other constants. A node that reads another value in place of
one that went is *rewired*; it is no site of its own. Touched nodes that read each other form one
group, which is as near to one rewrite as the graph alone can tell. Linear in nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.fingerprint import attribute_signature
from irconv.graph.walk import subgraphs_of

__all__ = ["Group", "NodeKey", "graph_difference", "node_index", "same_computation"]

NodeKey = tuple[str, ...]
"""The path of a node: what encloses it, then the names of its outputs."""


@dataclass(frozen=True)
class Group:
    """Touched nodes that belong together.

    Attributes:
        before: The nodes as they were, in order.
        after: The nodes as they are now, in order.
    """

    before: tuple[ir.Node, ...]
    after: tuple[ir.Node, ...]


def node_index(model: ir.Model) -> dict[NodeKey, ir.Node]:
    """Return every node of the model, bodies and functions included, by its key, in order."""
    index: dict[NodeKey, ir.Node] = {}
    for path, graph in _paths(model):
        for node in graph:
            index.setdefault(_key(path, node), node)
    return index


def _paths(model: ir.Model) -> Iterator[tuple[NodeKey, ir.Graph]]:
    stack: list[tuple[NodeKey, ir.Graph]] = [((), model.graph)]
    stack += [((str(name),), function.graph) for name, function in model.functions.items()]
    while stack:
        path, graph = stack.pop()
        yield path, graph
        for node in graph:
            for number, body in enumerate(subgraphs_of(node)):
                stack.append(((*_key(path, node), str(number)), body))


def _key(path: NodeKey, node: ir.Node) -> NodeKey:
    return (*path, *(value.name or "" for value in node.outputs))


def same_computation(old: ir.Node, new: ir.Node) -> bool:
    """Say whether two nodes are one computation, of whatever values they read.

    Constants that they read must be the same tensors, and present inputs at the same places.
    """
    if (old.domain, old.op_type, old.overload) != (new.domain, new.op_type, new.overload):
        return False
    if len(old.inputs) != len(new.inputs) or _attributes(old) != _attributes(new):
        return False
    return all(
        _constant(was) == _constant(now) for was, now in zip(old.inputs, new.inputs, strict=True)
    )


def _attributes(node: ir.Node) -> frozenset[object]:
    """Return the attributes but for bodies, whose nodes are compared one by one."""
    return frozenset(
        attribute_signature(attribute)
        for attribute in node.attributes.values()
        if attribute.is_ref()
        or attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    )


def _constant(value: ir.Value | None) -> object:
    """Return what tells constants apart; one answer for everything that is computed."""
    if value is None:
        return "absent"
    return "computed" if value.const_value is None else id(value.const_value)


def graph_difference(before: ir.Model, after: ir.Model) -> list[Group]:
    """Return the groups of touched nodes, in the order of the earlier state.

    Args:
        before: A snapshot from before, which shares its tensors with ``after``.
        after: The model now.
    """
    old, new = node_index(before), node_index(after)
    was = {
        key: node
        for key, node in old.items()
        if key not in new or not same_computation(node, new[key])
    }
    now = {
        key: node
        for key, node in new.items()
        if key not in old or not same_computation(old[key], node)
    }
    groups = _Groups()
    for key in (*was, *now):
        groups.add(key)
    for touched in (was, now):
        _join_neighbours(touched, groups)
    return [
        Group(
            tuple(was[key] for key in keys if key in was),
            tuple(now[key] for key in keys if key in now),
        )
        for keys in groups.members()
    ]


def _join_neighbours(touched: Mapping[NodeKey, ir.Node], groups: _Groups) -> None:
    keys = {node: key for key, node in touched.items()}
    for key, node in touched.items():
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and producer in keys:
                groups.join(keys[producer], key)


class _Groups:
    """Disjoint sets of keys, in the order in which they were added."""

    def __init__(self) -> None:
        self._parents: dict[NodeKey, NodeKey] = {}

    def add(self, key: NodeKey) -> None:
        self._parents.setdefault(key, key)

    def join(self, first: NodeKey, second: NodeKey) -> None:
        self._parents[self._root(second)] = self._root(first)

    def _root(self, key: NodeKey) -> NodeKey:
        while self._parents[key] != key:
            self._parents[key] = self._parents[self._parents[key]]
            key = self._parents[key]
        return key

    def members(self) -> Iterable[list[NodeKey]]:
        found: dict[NodeKey, list[NodeKey]] = {}
        for key in self._parents:
            found.setdefault(self._root(key), []).append(key)
        return found.values()
