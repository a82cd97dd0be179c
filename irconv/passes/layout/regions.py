"""Regions of a model that are laid out together, since their nodes share tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.layout.aliases import Aliases, transpose_order
from irconv.passes.layout.choice import needed_transposes
from irconv.passes.layout.form import Form

__all__ = ["Region", "regions"]


@dataclass
class Region:
    """Transposes, and nodes that change their layout, which share tensors.

    The order in which one of them holds a tensor concerns all, and nothing outside.

    Attributes:
        transposes: Its transposes, in the order of the graphs; there is at least one.
        forms: The forms of its other nodes.
        saved: How many transposes fewer it has when its nodes take these forms.
    """

    transposes: list[ir.Node] = field(default_factory=list)
    forms: dict[ir.Node, Form] = field(default_factory=dict)
    saved: int = 0


def regions(forms: Mapping[ir.Node, Form], graphs: Iterable[ir.Graph]) -> list[Region]:
    """Return the regions of a model, in the order of their first nodes; linear in nodes.

    Args:
        forms: The forms of the nodes that change their layout.
        graphs: The main graph and all bodies in it.
    """
    graphs = list(graphs)
    parts = _Partition()
    members: list[tuple[ir.Node, ir.Value]] = []
    for graph in graphs:
        for node in graph:
            roots = list(parts.roots(node)) if node in forms or _is_view(node) else []
            if roots:
                parts.join(roots)
                members.append((node, roots[0]))
    found: dict[ir.Value, Region] = {}
    for node, root in members:
        region = found.setdefault(parts.find(root), Region())
        if node in forms:
            region.forms[node] = forms[node]
        else:
            region.transposes.append(node)
            region.saved += 1
    for root, count in needed_transposes(forms, graphs).items():
        region = found.get(parts.find(root), Region())
        region.saved -= count
    return [region for region in found.values() if region.transposes]


def _is_view(node: ir.Node) -> bool:
    source = node.inputs[0] if node.inputs else None
    return transpose_order(node) is not None and source is not None and source.shape is not None


class _Partition:
    """Values that are no results of transposes, in disjoint sets."""

    def __init__(self) -> None:
        self._aliases = Aliases()
        self._parents: dict[ir.Value, ir.Value] = {}

    def roots(self, node: ir.Node) -> Iterator[ir.Value]:
        """Yield what the tensors of a node are the transposes of."""
        for value in (*node.inputs, *node.outputs):
            if value is not None and not is_constant(value):
                root = self._aliases.root(value)
                if root is not None:
                    yield root[0]

    def find(self, value: ir.Value) -> ir.Value:
        """Return the value that stands for the set of ``value``."""
        while (parent := self._parents.get(value, value)) is not value:
            grandparent = self._parents.get(parent, parent)
            self._parents[value] = grandparent
            value = grandparent
        return value

    def join(self, values: Iterable[ir.Value]) -> None:
        """Make one set of those of all values."""
        first, *rest = map(self.find, values)
        for value in rest:
            self._parents[value] = first
