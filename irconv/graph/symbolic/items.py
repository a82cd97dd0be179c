"""Items of the small integer tensors in which a model computes sizes.

One function for each operator of the ONNX standard; it returns what is known of the items of
the first output, or None. Integers are computed as if they had no bounds.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.symbolic.dims import Items
from irconv.graph.symbolic.expression import (
    Dim,
    equal,
    floor_divide,
    greater,
    maximum,
    minimum,
    remainder,
)

if TYPE_CHECKING:
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["ITEM_RULES", "constant_items"]

_MAX_ITEMS = 64
_INTEGERS = frozenset({ir.DataType.INT32, ir.DataType.INT64})
_EXACT = _INTEGERS | {ir.DataType.BOOL}

Rule = Callable[[ir.Node, "Sizes"], Items | None]


def constant_items(value: ir.Value) -> Items | None:
    """Return the items of a constant of rank 0 or 1, if it is small and of integers or bools."""
    tensor = constant_tensor(value)
    if tensor is None or tensor.dtype not in _EXACT or len(tensor.shape) > 1:
        return None
    if tensor.size > _MAX_ITEMS:
        return None
    values = tuple(int(item) for item in tensor.numpy().reshape(-1).tolist())
    return Items(values, is_scalar=len(tensor.shape) == 0)


def _inputs(node: ir.Node, sizes: Sizes, count: int) -> list[Items] | None:
    """Return the items of the first ``count`` inputs, or None if some are not known."""
    found = [sizes.items(value) for value in node.inputs[:count]]
    known = [items for items in found if items is not None]
    return known if len(known) == count else None


def _int(node: ir.Node, name: str, default: int | None) -> int | None:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _shape(node: ir.Node, sizes: Sizes) -> Items | None:
    dims = sizes.dims(node.inputs[0])
    if dims is None:
        return None
    return Items(dims[_int(node, "start", 0) : _int(node, "end", None)])


def _size(node: ir.Node, sizes: Sizes) -> Items | None:
    dims = sizes.dims(node.inputs[0])
    return None if dims is None else Items((_product(dims),), is_scalar=True)


def _product(dims: tuple[Dim, ...]) -> Dim:
    return functools.reduce(operator.mul, dims, 1)


def _gather(node: ir.Node, sizes: Sizes) -> Items | None:
    source, index = sizes.items(node.inputs[0]), constant_tensor(node.inputs[1])
    positions = constant_ints(node.inputs[1])
    if source is None or source.is_scalar or index is None or positions is None:
        return None
    count = len(source.values)
    if len(index.shape) > 1 or not all(-count <= position < count for position in positions):
        return None
    return Items(tuple(source.values[position] for position in positions), len(index.shape) == 0)


def _slice(node: ir.Node, sizes: Sizes) -> Items | None:
    source = sizes.items(node.inputs[0])
    if source is None or source.is_scalar:
        return None
    parts = [constant_ints(value) for value in node.inputs[1:] if value is not None]
    if len(parts) != len(node.inputs) - 1 or not 2 <= len(parts) <= 4:
        return None
    numbers = [part[0] for part in parts if part is not None and len(part) == 1]
    if len(numbers) != len(parts):
        return None
    start, end, axis, step = (*numbers, *(0, 1)[len(numbers) - 2 :])
    if axis not in (0, -1) or step < 1:
        return None
    return Items(source.values[start:end:step])


def _concat(node: ir.Node, sizes: Sizes) -> Items | None:
    parts = _inputs(node, sizes, len(node.inputs))
    if parts is None or any(part.is_scalar for part in parts):
        return None
    values = tuple(value for part in parts for value in part.values)
    return Items(values) if len(values) <= _MAX_ITEMS else None


def _vector(node: ir.Node, sizes: Sizes) -> Items | None:
    """Unsqueeze of a scalar."""
    source, result = sizes.items(node.inputs[0]), sizes.dims(node.outputs[0])
    if source is None or result is None or len(result) != 1:
        return None
    return Items(source.values)


def _reshaped(node: ir.Node, sizes: Sizes) -> Items | None:
    """Reshape, Squeeze and Flatten into rank 0 or 1."""
    source, result = sizes.items(node.inputs[0]), sizes.dims(node.outputs[0])
    if source is None or result is None or len(result) > 1:
        return None
    return Items(source.values, is_scalar=not result)


def _same(node: ir.Node, sizes: Sizes) -> Items | None:
    return sizes.items(node.inputs[0])


def _cast(node: ir.Node, sizes: Sizes) -> Items | None:
    """Cast between integers; of a bool it gives 0 or 1."""
    if node.outputs[0].dtype not in _INTEGERS:
        return None
    return sizes.items(node.inputs[0])


def _elementwise(compute: Callable[[Dim, Dim], Dim | None]) -> Rule:
    def rule(node: ir.Node, sizes: Sizes) -> Items | None:
        parts = _inputs(node, sizes, 2)
        if parts is None or len(node.inputs) != 2:
            return None
        return _aligned(lambda pair: compute(pair[0], pair[1]), *parts)

    return rule


def _aligned(compute: Callable[[list[Dim]], Dim | None], *parts: Items) -> Items | None:
    """Apply a function item by item, with operands of one item broadcast."""
    count = max(len(part.values) for part in parts)
    if any(len(part.values) not in (1, count) for part in parts):
        return None
    values: list[Dim | None] = []
    for index in range(count):
        operands = [part.values[index if len(part.values) > 1 else 0] for part in parts]
        known = [operand for operand in operands if operand is not None]
        values.append(compute(known) if len(known) == len(operands) else None)
    return Items(tuple(values), is_scalar=all(part.is_scalar for part in parts))


def _truth(relation: Callable[[Dim, Dim], bool | None]) -> Callable[[Dim, Dim], Dim | None]:
    def compute(first: Dim, second: Dim) -> Dim | None:
        verdict = relation(first, second)
        return None if verdict is None else int(verdict)

    return compute


def _at_least(first: Dim, second: Dim) -> bool | None:
    less = greater(second, first)
    return None if less is None else not less


def _not(node: ir.Node, sizes: Sizes) -> Items | None:
    source = sizes.items(node.inputs[0])
    if source is None:
        return None
    return _aligned(lambda item: 1 - item[0] if isinstance(item[0], int) else None, source)


def _where(node: ir.Node, sizes: Sizes) -> Items | None:
    parts = _inputs(node, sizes, 3)
    if parts is None:
        return None
    count = max(len(part.values) for part in parts)
    if any(len(part.values) not in (1, count) for part in parts):
        return None
    condition, yes, no = (part.values * (count if len(part.values) == 1 else 1) for part in parts)
    values: list[Dim | None] = []
    for test, one, other in zip(condition, yes, no, strict=True):
        either = one if one == other else None
        values.append(either if test is None else one if test else other)
    return Items(tuple(values), is_scalar=all(part.is_scalar for part in parts))


def _constant_of_shape(node: ir.Node, sizes: Sizes) -> Items | None:
    shape, value = sizes.items(node.inputs[0]), node.attributes.get("value")
    if shape is None or shape.is_scalar or len(shape.values) > 1 or value is None:
        return None
    tensor = value.as_tensor()
    count = shape.values[0] if shape.values else 1
    if tensor.dtype not in _EXACT or not isinstance(count, int) or not 0 <= count <= _MAX_ITEMS:
        return None
    item = int(tensor.numpy().reshape(-1)[0])
    return Items((item,) * count, is_scalar=not shape.values)


def _reduce_product(node: ir.Node, sizes: Sizes) -> Items | None:
    source, result = sizes.items(node.inputs[0]), sizes.dims(node.outputs[0])
    if source is None or not source.complete or result is None or len(result) > 1:
        return None
    if result not in ((), (1,)):
        return None
    known = tuple(value for value in source.values if value is not None)
    return Items((_product(known),), is_scalar=not result)


def _both(first: Dim, second: Dim) -> Dim | None:
    return first * second if isinstance(first, int) and isinstance(second, int) else None


ITEM_RULES: Mapping[str, Rule] = {
    "Add": _elementwise(operator.add),
    "And": _elementwise(_both),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(floor_divide),
    "Equal": _elementwise(_truth(equal)),
    "Flatten": _reshaped,
    "Gather": _gather,
    "Greater": _elementwise(_truth(greater)),
    "GreaterOrEqual": _elementwise(_truth(_at_least)),
    "Identity": _same,
    "Less": _elementwise(_truth(lambda first, second: greater(second, first))),
    "LessOrEqual": _elementwise(_truth(lambda first, second: _at_least(second, first))),
    "Max": _elementwise(maximum),
    "Min": _elementwise(minimum),
    "Mod": _elementwise(remainder),
    "Mul": _elementwise(operator.mul),
    "Not": _not,
    "ReduceProd": _reduce_product,
    "Reshape": _reshaped,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _reshaped,
    "Sub": _elementwise(operator.sub),
    "Unsqueeze": _vector,
    "Where": _where,
}
"""The rules, by operator of the default domain."""
