"""Which nodes do work in another layout: those that save more transposes than they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.layout.aliases import Aliases, transpose_order
from irconv.passes.layout.candidates import held
from irconv.passes.layout.form import Form
from irconv.passes.layout.permutation import (
    Permutation,
    compose,
    identity,
    inverse,
    moves_only_ones,
)

__all__ = ["choose", "needed_transposes"]

_SWEEPS = 3


def choose(
    forms: dict[ir.Node, Form], anchors: dict[ir.Node, Form], graphs: Iterable[ir.Graph]
) -> dict[ir.Node, Form]:
    """Return the forms that are worth it; those of the anchors always are.

    Nodes that hand a tensor on in one order are decided together. The decision is a local
    search that starts with every form taken; each sweep is linear in nodes.
    """
    costs = _Costs(forms, graphs)
    groups = _groups(forms, anchors, costs.aliases)
    for _ in range(_SWEEPS):
        changed = [group for group in groups if costs.improve(group)]
        if not changed:
            break
    return {node: form for node, form in forms.items() if node in costs.taken}


def needed_transposes(
    forms: Mapping[ir.Node, Form], graphs: Iterable[ir.Graph]
) -> Mapping[ir.Value, int]:
    """Return how many transposes each value needs when exactly these forms are taken.

    Values are those that are no results of transposes. Linear in nodes.
    """
    return _Costs(forms, graphs).needed()


class _Costs:
    """Counts the transposes that a choice of forms needs.

    Args:
        forms: Candidates.
        graphs: All graphs, whose outputs are read as they are.
    """

    def __init__(self, forms: Mapping[ir.Node, Form], graphs: Iterable[ir.Graph]) -> None:
        self.aliases = Aliases()
        self.taken = set(forms)
        self._forms = forms
        self._stored: dict[ir.Value, Permutation] = {}
        self._demands: dict[ir.Value, Counter[Permutation]] = {}
        for graph in graphs:
            for node in graph:
                if transpose_order(node) is None:
                    self._count(node, 1)
            for value in graph.outputs:
                self._demand(value, None, 1)

    def improve(self, group: Sequence[ir.Node]) -> bool:
        """Decide a group anew; return whether the decision changed."""
        before = self._cost(group)
        self._flip(group)
        after = self._cost(group)
        to_source = group[0] not in self.taken
        if after < before or (after == before and not to_source):
            return True
        self._flip(group)
        return False

    def needed(self) -> dict[ir.Value, int]:
        """Return how many transposes each value needs, those that move no data included."""
        return {
            value: sum(
                count > 0 and order != self._order_of(value) for order, count in demands.items()
            )
            for value, demands in self._demands.items()
        }

    def _flip(self, group: Sequence[ir.Node]) -> None:
        for node in group:
            self._count(node, -1)
        self.taken ^= set(group)
        for node in group:
            self._count(node, 1)

    def _count(self, node: ir.Node, amount: int) -> None:
        form = self._forms[node] if node in self.taken else None
        for index, value in enumerate(node.inputs):
            if value is not None and not is_constant(value):
                order = None if form is None or index >= len(form.inputs) else form.inputs[index]
                self._demand(value, order, amount)
        if form is not None:
            for value, order in zip(node.outputs, form.outputs, strict=True):
                if order is not None and amount > 0:
                    self._stored[value] = order
                elif order is not None:
                    self._stored.pop(value, None)

    def _demand(self, value: ir.Value, order: Permutation | None, amount: int) -> None:
        root = self.aliases.root(value)
        if root is None:
            return
        source, total = root
        if order is None:
            order = total
        elif len(order) == len(total):
            order = compose(total, order)
        self._demands.setdefault(source, Counter())[order] += amount

    def _cost(self, group: Sequence[ir.Node]) -> int:
        roots: set[ir.Value] = set()
        for node in group:
            for value in (*node.inputs, *node.outputs):
                root = None if value is None else self.aliases.root(value)
                if root is not None:
                    roots.add(root[0])
        return sum(map(self._cost_of, roots))

    def _cost_of(self, value: ir.Value) -> int:
        stored = self._order_of(value)
        return sum(
            count > 0 and order != stored and not _stays(value, stored, order)
            for order, count in self._demands.get(value, Counter()).items()
        )

    def _order_of(self, value: ir.Value) -> Permutation:
        assert value.shape is not None
        return self._stored.get(value, identity(len(value.shape)))


def _stays(value: ir.Value, stored: Permutation, order: Permutation) -> bool:
    """Whether only dimensions of size 1 move between two orders of a value."""
    if len(order) != len(stored) or value.shape is None:
        return False
    shape = ir.Shape([value.shape[axis] for axis in stored])
    return moves_only_ones(shape, compose(inverse(stored), order))


def _groups(
    forms: dict[ir.Node, Form], anchors: dict[ir.Node, Form], aliases: Aliases
) -> list[list[ir.Node]]:
    """Return the nodes, without the anchors, in groups that hand on tensors in one order."""
    parents = {node: node for node in forms if node not in anchors}

    def find(node: ir.Node) -> ir.Node:
        while parents[node] is not node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    owners: dict[tuple[ir.Value, Permutation], ir.Node] = {}
    for node in parents:
        for value, order in held(node, forms[node]):
            root = aliases.root(value)
            if root is not None:
                key = (root[0], compose(root[1], order))
                parents[find(node)] = find(owners.setdefault(key, node))
    groups: dict[ir.Node, list[ir.Node]] = {}
    for node in parents:
        groups.setdefault(find(node), []).append(node)
    return list(groups.values())
