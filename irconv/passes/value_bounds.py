"""Bounds of values that follow from the operator that computes them.

Each is the range of a function by its definition (ONNX operator specifications): Relu gives
numbers of at least 0, Sigmoid and Softmax numbers from 0 to 1, and so on. A value may still be
NaN where an operator passes NaN on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from irconv.graph.constants import constant_tensor

__all__ = ["Bounds", "bounds_of", "constant_bounds"]

Bounds = tuple[float, float]
"""The least and the largest number that a value may hold."""
_ANY: Bounds = (-math.inf, math.inf)
_DEEPEST = 6
_MOST_ELEMENTS = 1 << 16
_EXACT_INTEGERS = 1 << 53

_FIXED: Mapping[str, Bounds] = {
    "Abs": (0.0, math.inf),
    "ArgMax": (0.0, math.inf),
    "ArgMin": (0.0, math.inf),
    "Cos": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Exp": (0.0, math.inf),
    "HardSigmoid": (0.0, 1.0),
    "Hardmax": (0.0, 1.0),
    "LogSoftmax": (-math.inf, 0.0),
    "NonZero": (0.0, math.inf),
    "ReduceL1": (0.0, math.inf),
    "ReduceL2": (0.0, math.inf),
    "ReduceSumSquare": (0.0, math.inf),
    "Relu": (0.0, math.inf),
    "Shape": (0.0, math.inf),
    "Sigmoid": (0.0, 1.0),
    "Sign": (-1.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Size": (0.0, math.inf),
    "Softmax": (0.0, 1.0),
    "Softplus": (0.0, math.inf),
    "Softsign": (-1.0, 1.0),
    "Sqrt": (0.0, math.inf),
    "Tanh": (-1.0, 1.0),
}
_KEEPS = frozenset(
    {
        "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "GlobalMaxPool", "Identity",
        "MaxPool", "ReduceMax", "ReduceMean", "ReduceMin", "Reshape", "Slice", "Split", "Squeeze",
        "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that give numbers between the least and the largest of their first input."""


def bounds_of(value: ir.Value | None, depth: int = 0) -> Bounds:
    """Return bounds of the numbers in ``value``, as far as they follow from a few operators.

    A bool counts as 0 or 1.
    """
    if value is None:
        return _ANY
    constant = constant_bounds(value)
    if constant is not None:
        return constant
    if value.dtype == ir.DataType.BOOL:
        return 0.0, 1.0
    node = value.producer()
    if node is None or node.domain != "" or depth == _DEEPEST:
        return _ANY
    if value is not node.outputs[0] and node.op_type != "Split":
        return _ANY
    if node.op_type in _FIXED:
        return _FIXED[node.op_type]
    if any(item.is_ref() for item in node.attributes.values()):
        return _ANY
    if node.op_type in _KEEPS:
        return bounds_of(node.inputs[0], depth + 1)
    rule = _RULES.get(node.op_type)
    return _ANY if rule is None else rule(node, depth + 1)


def constant_bounds(value: ir.Value | None) -> Bounds | None:
    """Return the least and the largest number of a constant; None where it is none, or large."""
    tensor = constant_tensor(value)
    if tensor is None or not 0 < tensor.size <= _MOST_ELEMENTS:
        return None
    if tensor.dtype == ir.DataType.STRING or isinstance(tensor, ir.LazyTensor):
        return None
    array = tensor.numpy()
    if array.dtype.kind == "c":
        return None
    least, largest = float(array.min()), float(array.max())
    if array.dtype.kind in "iu" and max(abs(least), abs(largest)) > _EXACT_INTEGERS:
        return None
    return None if math.isnan(least) or math.isnan(largest) else (least, largest)


def _clip(node: ir.Node, depth: int) -> Bounds:
    low, high = bounds_of(node.inputs[0], depth)
    least, most = _limits(node)
    return min(max(low, least), most), min(max(high, least), most)


def _limits(node: ir.Node) -> Bounds:
    if "min" in node.attributes or "max" in node.attributes:
        get = node.attributes.get_float
        return get("min", -math.inf), get("max", math.inf)
    limits = [-math.inf, math.inf]
    for index, value in enumerate(node.inputs[1:3]):
        found = constant_bounds(value)
        if value is not None:
            limits[index] = found[index] if found else (-math.inf, math.inf)[index]
    return limits[0], limits[1]


def _extreme(pick: Callable[..., float]) -> Callable[[ir.Node, int], Bounds]:
    def rule(node: ir.Node, depth: int) -> Bounds:
        found = [bounds_of(value, depth) for value in node.inputs]
        return pick(low for low, _ in found), pick(high for _, high in found)

    return rule


def _square(node: ir.Node, depth: int) -> Bounds:
    """A product of a value and itself."""
    del depth
    same = len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]
    return (0.0, math.inf) if same else _ANY


def _either(node: ir.Node, depth: int) -> Bounds:
    first, second = (bounds_of(value, depth) for value in node.inputs[1:3])
    return min(first[0], second[0]), max(first[1], second[1])


def _all(node: ir.Node, depth: int) -> Bounds:
    found = [bounds_of(value, depth) for value in node.inputs]
    return min(low for low, _ in found), max(high for _, high in found)


def _count(node: ir.Node, depth: int) -> Bounds:
    """Range with positive steps counts up from its start."""
    start, delta = bounds_of(node.inputs[0], depth), bounds_of(node.inputs[2], depth)
    return (start[0], math.inf) if delta[0] > 0 else _ANY


_RULES: Mapping[str, Callable[[ir.Node, int], Bounds]] = {
    "Clip": _clip,
    "Concat": _all,
    "Max": _extreme(max),
    "Min": _extreme(min),
    "Mul": _square,
    "Range": _count,
    "Where": _either,
}
