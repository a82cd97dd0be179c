"""Which nodes could work in another layout: regions grown from tensors held in one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.layout.form import Form
from irconv.passes.layout.permutation import Permutation
from irconv.passes.layout.rules import Rule, form_of, rank_of

__all__ = ["grow", "held"]


def grow(
    anchors: Mapping[ir.Node, Form],
    seeds: Iterable[tuple[ir.Value, Permutation]],
    rules: Mapping[str, Rule],
) -> dict[ir.Node, Form]:
    """Return the forms of all nodes that are reached from the seeds; linear in nodes.

    A region grows from a value that is held in some order to every node that can work in that
    order, forwards and backwards.

    Args:
        anchors: Nodes whose form is given; they are part of the result.
        seeds: Values, each with an order to hold it in.
        rules: Forms of nodes, by operator of the default domain.
    """
    forms = dict(anchors)
    queue = deque(seeds)
    seen = set(queue)
    while queue:
        value, order = queue.popleft()
        for node, port in _neighbours(value):
            if node in forms:
                continue
            form = form_of(node, order, port, rules)
            if form is None or not _has_known_ranks(node, form):
                continue
            forms[node] = form
            fresh = [item for item in held(node, form) if item not in seen]
            seen.update(fresh)
            queue.extend(fresh)
    return forms


def held(node: ir.Node, form: Form) -> Iterable[tuple[ir.Value, Permutation]]:
    """Yield the values of a node that its form holds in another order, with that order."""
    for value, order in zip(node.inputs, form.inputs, strict=False):
        if value is None or order is None or is_constant(value):
            continue
        if rank_of(value) == len(order):
            yield value, order
    for value, order in zip(node.outputs, form.outputs, strict=True):
        if order is not None:
            yield value, order


def _has_known_ranks(node: ir.Node, form: Form) -> bool:
    """Whether every result held in some order is known to have as many dimensions."""
    return all(
        order is None or rank_of(value) == len(order)
        for value, order in zip(node.outputs, form.outputs, strict=True)
    )


def _neighbours(value: ir.Value) -> Iterable[tuple[ir.Node, int]]:
    producer = value.producer()
    if producer is not None:
        yield producer, -1
    yield from value.uses()
