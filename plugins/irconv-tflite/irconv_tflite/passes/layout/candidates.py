"""Which nodes could work in another layout: regions grown from channel-last operators."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv_tflite.passes.layout.form import Form
from irconv_tflite.passes.layout.permutation import Permutation
from irconv_tflite.passes.layout.rules import form_of, rank_of

__all__ = ["grow"]


def grow(anchors: dict[ir.Node, Form]) -> dict[ir.Node, Form]:
    """Return the forms of all nodes that are reached from the anchors; linear in nodes.

    A region grows from an operand or result that is held in some order to every node that can
    work in that order, forwards and backwards.
    """
    forms = dict(anchors)
    queue = deque(
        (value, order) for node, form in anchors.items() for value, order in held(node, form)
    )
    seen = set(queue)
    while queue:
        value, order = queue.popleft()
        for node, port in _neighbours(value):
            if node in forms:
                continue
            form = form_of(node, order, port)
            if form is None:
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


def _neighbours(value: ir.Value) -> Iterable[tuple[ir.Node, int]]:
    producer = value.producer()
    if producer is not None:
        yield producer, -1
    yield from value.uses()
