"""Where the hidden states of all steps are put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.passes.fusions.fused import Made
from irconv.passes.fusions.pattern import made_by, number_attribute, operand, rank

__all__ = ["shared_parts", "stacked"]


def stacked(place: Mapping[ir.Value, int], sequence: Made) -> dict[ir.Value, Made]:
    """Return the stacks of hidden states along a new axis 0 or 1, and how ``sequence`` makes them.

    Args:
        place: The place of each step's hidden state in ``sequence``.
        sequence: The hidden states of all steps, [steps, batch, hidden].
    """
    found: dict[ir.Value, Made] = {}
    value = next(iter(place))
    for apart, _ in value.uses():
        if apart.op_type != "Unsqueeze" or apart.domain != "":
            continue
        for stack, _ in apart.outputs[0].uses():
            if (stack.op_type, stack.domain, stack.graph) == ("Concat", "", value.graph):
                item = _stack(stack, place, sequence)
                if item is not None:
                    found[stack.outputs[0]] = item
    return found


def shared_parts(hidden: Iterable[ir.Value]) -> list[ir.Value]:
    """Return the hidden states with an axis more that something else than one stack reads."""
    parts = [
        user.outputs[0]
        for value in hidden
        for user, _ in value.uses()
        if user.op_type == "Unsqueeze" and user.domain == ""
    ]
    return [part for part in parts if part.is_graph_output() or len(part.uses()) > 1]


def _stack(node: ir.Node, place: Mapping[ir.Value, int], sequence: Made) -> Made | None:
    axis = number_attribute(node, "axis", 0)
    axis = axis if axis >= 0 else axis + 3
    places = []
    for part in node.inputs:
        apart = made_by(part, "Unsqueeze")
        value = None if apart is None else operand(apart, 0)
        if (
            apart is None
            or value is None
            or value not in place
            or _axis(apart) != axis
            or rank(value) != 2
        ):
            return None
        places.append(place[value])
    item = sequence
    if places != list(range(len(place))):
        item = Made("Gather", [sequence, np.array(places, np.int64)], {"axis": 0})
    if axis == 1:
        return Made("Transpose", [item], {"perm": [1, 0, 2]})
    # A node of its own for each stack: one value cannot take the place of two.
    return Made("Squeeze", item.inputs, item.attributes) if item is sequence else item


def _axis(node: ir.Node) -> int | None:
    attribute = node.attributes.get("axes")
    if attribute is not None:
        axes = None if attribute.is_ref() else tuple(attribute.as_ints())
    else:
        axes = constant_ints(operand(node, 1))
    if axes is None or len(axes) != 1:
        return None
    return axes[0] if axes[0] >= 0 else axes[0] + 3
