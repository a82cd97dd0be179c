"""How many roundings stand one behind the other in front of an output."""

from __future__ import annotations

import onnx_ir as ir

from irconv.verify.exact import is_exact

__all__ = ["rounding_depths"]


def rounding_depths(model: ir.Model) -> dict[str, int]:
    """Return, by output name, the most rounding operators on one path to that output.

    A node with bodies and a call of a local function count as one operator, and one that only
    makes integers or booleans as none: the depth may be too small, never too large.

    Args:
        model: The model; it is only read.
    """
    depths: dict[ir.Value | None, int] = {}
    for node in model.graph:
        before = max((depths.get(value, 0) for value in node.inputs), default=0)
        for value in node.outputs:
            depths[value] = before + _rounds(node, value)
    return {value.name or "": depths.get(value, 0) for value in model.graph.outputs}


def _rounds(node: ir.Node, value: ir.Value) -> bool:
    return not is_exact(node) and (value.dtype is None or value.dtype.is_floating_point())
