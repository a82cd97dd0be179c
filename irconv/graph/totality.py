"""Which nodes cannot fail, whatever their inputs hold, and cost no more than a look at them.

An elementwise operator is defined for all numbers (ONNX operator specifications), except where
integers are divided, and where texts are read as numbers. It fails where its operands do not
broadcast, so their dims must prove that they do.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from irconv.graph.symbolic.dims import Dims
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["failure"]

_UNARY = frozenset(
    {
        "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "IsInf", "IsNaN", "Log", "Neg",
        "Not", "Reciprocal", "Relu", "Round", "Shape", "Sigmoid", "Sign", "Sin", "Size",
        "Softplus", "Sqrt", "Tanh",
    }
)  # fmt: skip
_BROADCAST = frozenset(
    {
        "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
        "Min", "Mul", "Or", "Pow", "Sub", "Where", "Xor",
    }
)  # fmt: skip
_FLOATS_ONLY = frozenset({"Div", "Pow"})


def failure(node: ir.Node, sizes: Sizes) -> str:
    """Return how a node of the default domain may fail or be dear; empty where it is neither.

    Args:
        node: The node.
        sizes: What is known of the dims in the model.
    """
    if node.op_type in _UNARY:
        return ""
    if node.op_type == "Cast":
        return _text(node, sizes)
    if node.op_type == "Transpose":
        return _order(node, sizes)
    if node.op_type not in _BROADCAST:
        return f"{node.op_type} is not one of the operators that are cheap and never fail"
    if node.op_type in _FLOATS_ONLY and not all(_is_float(value, sizes) for value in node.inputs):
        return f"{node.op_type} is not defined for all integers"
    if "axis" in node.attributes or "broadcast" in node.attributes:
        return "it broadcasts as older opsets do"
    return _broadcast(node, sizes)


def _is_float(value: ir.Value | None, sizes: Sizes) -> bool:
    dtype = None if value is None else sizes.dtype(value)
    return dtype is not None and dtype.is_floating_point()


def _text(node: ir.Node, sizes: Sizes) -> str:
    goal, source = node.attributes.get("to"), node.inputs[0]
    dtype = None if source is None else sizes.dtype(source)
    if goal is None or goal.is_ref() or dtype is None:
        return "its dtypes are not known"
    if ir.DataType.STRING in (goal.as_int(), dtype):
        return "it reads or writes numbers as text"
    return ""


def _order(node: ir.Node, sizes: Sizes) -> str:
    order, dims = node.attributes.get("perm"), sizes.dims(node.inputs[0])
    if order is None:
        return ""
    if order.is_ref() or dims is None or sorted(order.as_ints()) != list(range(len(dims))):
        return "its order of axes is not known to be one of the axes that there are"
    return ""


def _broadcast(node: ir.Node, sizes: Sizes) -> str:
    found = [sizes.dims(value) for value in node.inputs]
    known = [dims for dims in found if dims is not None]
    if len(known) < len(found) or not all(_agree(*pair) for pair in combinations(known, 2)):
        return "the shapes of its operands are not known to broadcast"
    return ""


def _agree(one: Dims, other: Dims) -> bool:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(first == second or 1 in (first, second) for first, second in pairs)
