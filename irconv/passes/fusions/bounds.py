"""Values held between two numbers."""

from __future__ import annotations

import math

import onnx_ir as ir

from irconv.passes.fusions.pattern import made_by, number_attribute, operand, pairs, scalar

__all__ = ["clipped"]


def clipped(node: ir.Node) -> tuple[ir.Value, float, float] | None:
    """Return x and the bounds where a node computes min(max(x, low), high).

    Clip has its bounds as attributes below opset 11 and as inputs since; a bound that is absent
    is infinite. Min of Max and of Relu, and Max of Min, say the same, where low <= high.
    """
    if node.domain != "":
        return None
    if node.op_type == "Clip":
        return _clip(node)
    if node.op_type not in ("Min", "Max"):
        return None
    outer = _one_bound(node.outputs[0], node.op_type)
    if outer is None:
        return None
    value, bound = outer
    if node.op_type == "Max":
        inner = _one_bound(value, "Min")
        low, high = bound, math.inf if inner is None else inner[1]
    else:
        inner = _one_bound(value, "Max")
        relu = made_by(value, "Relu")
        data = None if relu is None else operand(relu, 0)
        if inner is None and data is not None:
            inner = data, 0.0
        low, high = -math.inf if inner is None else inner[1], bound
    return None if inner is None or low > high else (inner[0], low, high)


def _one_bound(value: ir.Value, op_type: str) -> tuple[ir.Value, float] | None:
    for data, bound in pairs(value, op_type):
        number = scalar(bound)
        if number is not None and scalar(data) is None:
            return data, number
    return None


def _clip(node: ir.Node) -> tuple[ir.Value, float, float] | None:
    data = operand(node, 0)
    bounds: list[float] = []
    for index, name, absent in ((1, "min", -math.inf), (2, "max", math.inf)):
        value = operand(node, index)
        number = number_attribute(node, name, absent) if value is None else scalar(value)
        if number is None:
            return None
        bounds.append(number)
    low, high = bounds
    return None if data is None or low > high else (data, low, high)
