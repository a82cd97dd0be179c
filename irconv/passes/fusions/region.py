"""The region that vanishes where a node is fused, and whether it can."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.fusions.fused import Fused, values_of

__all__ = ["leak", "region"]

_SHAPED = frozenset({"Expand", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators whose inputs after the first say only of which shape the result is."""


def region(fused: Fused) -> list[ir.Node]:
    """Return the nodes between the inputs of the new node and the values that it replaces.

    Constants do not belong to it, nor does what only tells a node of which shape its result is.
    """
    bounds = set(values_of(fused.inputs))
    bounds.update(fused.spared)
    found: dict[ir.Node, None] = {}
    stack = fused.replaced[::-1]
    while stack:
        node = stack.pop().producer()
        assert node is not None, "a match leaves nothing out that its region reads"
        if node in found:
            continue
        found[node] = None
        stack += [
            value
            for value in reversed(node.inputs[:1] if node.op_type in _SHAPED else node.inputs)
            if value is not None and value not in bounds and not is_constant(value)
        ]
    return list(found)


def leak(fused: Fused, nodes: Sequence[ir.Node]) -> str:
    """Return why the region cannot vanish; empty if it can."""
    inside = set(nodes)
    replaced = set(fused.replaced)
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.is_ref():
                return f"the attribute {attribute.name!r} is a parameter of the enclosing function"
        for value in node.outputs:
            if value in replaced:
                continue
            if value.is_graph_output():
                return f"the intermediate value {value.name!r} is also a graph output"
            if any(user not in inside for user, _ in value.uses()):
                return f"the intermediate value {value.name!r} has other readers"
        if node.graph is not fused.place.graph:
            return f"the intermediate value {node.outputs[0].name!r} is computed in another graph"
    return ""
