"""The vocabulary in which fusions say what they look for.

Every function looks at one value or node and at what computes it, and returns None where there
is something else. What exporters write in different ways is one form here: the operands of a
commutative operator come in either order, a number may be a scalar or a tensor of one element,
``x / c`` is ``x * (1 / c)``, ``x - c`` is ``x + (-c)``, and both ``x * x`` and ``Pow(x, 2)`` are a
square.

Nothing here asks whether an intermediate value has other readers: that is the business of
:func:`irconv.passes.fusions.region.leak`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.passes.decompose.block import Keep

__all__ = [
    "dims_of", "made_by", "number_attribute", "only_reader", "operand",
    "other_operand", "pairs", "rank", "reduced_axes", "scalar", "scaled", "shifted", "square",
    "static_dims", "uncast",
]  # fmt: skip

_TRANSPARENT = ("Cast", "Identity")
_Number = TypeVar("_Number", int, float)


def operand(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where it is absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def made_by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that computes ``value``, if it is one of these standard operators."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type not in op_types:
        return None
    return node if node.outputs[0] is value else None


def only_reader(value: ir.Value, *op_types: str) -> ir.Node | None:
    """Return the one node that reads ``value``, if it is one of these standard operators.

    It may read the value more than once. A value that is a graph output has none.
    """
    users = {user for user, _ in value.uses()}
    if len(users) != 1 or value.is_graph_output():
        return None
    (node,) = users
    return node if node.domain == "" and node.op_type in op_types else None


def pairs(value: ir.Value | None, op_type: str) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Yield the operands of a commutative binary operator in both orders."""
    node = made_by(value, op_type)
    if node is None or len(node.inputs) != 2:
        return
    first, second = node.inputs
    if first is None or second is None:
        return
    yield first, second
    if first is not second:
        yield second, first


def other_operand(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """Return what a binary node combines with ``value``; ``value`` itself if it is both."""
    if len(node.inputs) != 2 or value not in node.inputs:
        return None
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def scalar(value: ir.Value | None) -> float | None:
    """Return the number that a constant of one element holds."""
    tensor = constant_tensor(value)
    if tensor is None or tensor.size != 1 or tensor.dtype == ir.DataType.STRING:
        return None
    return float(tensor.numpy().reshape(-1)[0])


def scaled(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """Return x and c where ``value`` is x * c, c * x or x / c for a number c."""
    for other, number in pairs(value, "Mul"):
        factor = scalar(number)
        if factor is not None and scalar(other) is None:
            return other, factor
    node = made_by(value, "Div")
    if node is None:
        return None
    dividend, divisor = operand(node, 0), scalar(operand(node, 1))
    return None if dividend is None or not divisor else (dividend, 1 / divisor)


def shifted(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """Return x and c where ``value`` is x + c, c + x or x - c for a number c."""
    for other, number in pairs(value, "Add"):
        summand = scalar(number)
        if summand is not None and scalar(other) is None:
            return other, summand
    node = made_by(value, "Sub")
    if node is None:
        return None
    minuend, number_ = operand(node, 0), scalar(operand(node, 1))
    return None if minuend is None or number_ is None else (minuend, -number_)


def square(value: ir.Value | None) -> ir.Value | None:
    """Return x where ``value`` is x * x or x to the power of 2."""
    node = made_by(value, "Mul", "Pow")
    if node is None or len(node.inputs) != 2:
        return None
    if node.op_type == "Mul":
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    return node.inputs[0] if scalar(node.inputs[1]) == 2 else None


def uncast(value: ir.Value) -> ir.Value:
    """Return what ``value`` was before casts between floating-point dtypes, and copies."""
    while (node := made_by(value, *_TRANSPARENT)) is not None:
        source = operand(node, 0)
        if source is None or not (_is_float(source) and _is_float(value)):
            break
        value = source
    return value


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def rank(value: ir.Value | None) -> int | None:
    """Return the rank of a value, if it is known."""
    dims = dims_of(value)
    return None if dims is None else len(dims)


def number_attribute(node: ir.Node, name: str, default: _Number) -> _Number:
    """Return an attribute that is a number of the type of ``default``.

    Raises:
        Keep: If it is a parameter of the enclosing function.
    """
    attribute = node.attributes.get(name)
    if attribute is None:
        return default
    if attribute.is_ref():
        raise Keep(f"the attribute {name!r} is a parameter of the enclosing function")
    return attribute.as_int() if isinstance(default, int) else attribute.as_float()


def reduced_axes(node: ir.Node, like: ir.Value | None = None) -> tuple[int, ...]:
    """Return the axes of a reduction that keeps its dims, sorted and counted from 0.

    Args:
        node: ReduceMean, ReduceSum or the like, of any opset, or GlobalAveragePool.
        like: A value of the rank of its input; the input itself, if not given.

    Raises:
        Keep: If the reduction drops its axes, or its axes or the rank are not known.
    """
    if number_attribute(node, "keepdims", 1) != 1:
        raise Keep(f"{node.op_type} {node.name!r} drops the axes that it reduces (keepdims=0)")
    like = like or operand(node, 0)
    count = rank(like)
    if like is None or count is None:
        name = None if like is None else like.name
        raise Keep(f"the rank of {name!r} is unknown; run infer-shapes first")
    if node.op_type == "GlobalAveragePool":
        return tuple(range(2, count))
    attribute, given = node.attributes.get("axes"), operand(node, 1)
    if attribute is not None and attribute.is_ref():
        raise Keep("the attribute 'axes' is a parameter of the enclosing function")
    if attribute is None and given is None:
        nothing = number_attribute(node, "noop_with_empty_axes", 0) == 1
        return () if nothing else tuple(range(count))
    axes = constant_ints(given) if attribute is None else tuple(attribute.as_ints())
    if axes is None:
        raise Keep(f"the axes of {node.op_type} {node.name!r} are not constant")
    if not axes or not all(-count <= axis < count for axis in axes):
        raise Keep(f"the axes {list(axes)} of {node.op_type} {node.name!r} do not fit its rank")
    return tuple(sorted({axis % count for axis in axes}))


def dims_of(value: ir.Value | None) -> tuple[int | ir.SymbolicDim, ...] | None:
    """Return the dims of a value; None where its rank is not known."""
    tensor = constant_tensor(value)
    if tensor is not None:
        return tuple(tensor.shape.numpy())
    return None if value is None or value.shape is None else value.shape.dims


def static_dims(value: ir.Value, axes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of some axes, counted from 0.

    Raises:
        Keep: If one of them is not static.
    """
    dims = dims_of(value)
    if dims is None:
        raise Keep(f"the rank of {value.name!r} is unknown; run infer-shapes first")
    known = tuple(dim for dim in (dims[axis] for axis in axes) if isinstance(dim, int))
    if len(known) < len(axes):
        raise Keep(f"the sizes of axes {list(axes)} of {value.name!r} are not static")
    return known
