"""Operators that work in any layout: what they become when the dimensions change places.

One function for each family. It is asked for the form of a node, given the order in which one of
its operands or results is held, and returns None where the node must stay as it is. The rules hold
from opset 13 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.passes.layout.form import Form
from irconv.passes.layout.permutation import (
    Permutation,
    channel_last,
    identity,
    inverse,
    is_identity,
)

__all__ = ["RULES", "RULES_BEFORE_18", "Rule", "form_of", "rank_of"]

Rule = Callable[[ir.Node, Permutation, int], Form | None]
"""Takes a node, an order, and the index of the input held in it; -1 for the first output."""

_ELEMENTWISE = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift",
        "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "Ceil", "Celu", "Cos",
        "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
        "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu",
        "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not",
        "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign",
        "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh",
        "ThresholdedRelu", "Where", "Xor",
    }
)  # fmt: skip
_REDUCTIONS = frozenset(
    {
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
        "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    }
)  # fmt: skip
_GLOBAL = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}
_CHANNEL = 1


def rank_of(value: ir.Value | None) -> int | None:
    """Return the rank of a value, or None where it is unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def form_of(node: ir.Node, order: Permutation, port: int, rules: Mapping[str, Rule]) -> Form | None:
    """Return the form of a node that holds one of its tensors in ``order``.

    Args:
        node: The node.
        order: The order.
        port: Index of the input held in that order; -1 for the first output.
        rules: The rules, by operator of the default domain.
    """
    if node.domain not in ("", "ai.onnx"):
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    rule = rules.get(node.op_type)
    return None if rule is None else rule(node, order, port)


def _elementwise(node: ir.Node, order: Permutation, port: int) -> Form | None:
    del port
    if rank_of(node.outputs[0]) != len(order):
        return None
    if any(value is None or rank_of(value) is None for value in node.inputs):
        return None
    return Form(
        tuple(order if rank_of(value) else None for value in node.inputs), (order,), node.op_type
    )


def _first_only(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Clip: bounds are scalars."""
    if port > 0 or rank_of(node.inputs[0]) != len(order):
        return None
    rest = (None for _ in node.inputs[1:])
    return Form((order, *rest), (order,), node.op_type)


def _axis(node: ir.Node, order: Permutation, default: int) -> tuple[ir.Attr, ...]:
    attribute = node.attributes.get("axis")
    axis = default if attribute is None else attribute.as_int()
    return (ir.AttrInt64("axis", inverse(order)[axis % len(order)]),)


def _along_axis(default: int) -> Callable[[ir.Node, Permutation, int], Form | None]:
    """Softmax and its like: one axis, nothing else."""

    def rule(node: ir.Node, order: Permutation, port: int) -> Form | None:
        del port
        if rank_of(node.inputs[0]) != len(order):
            return None
        attributes = {item.name: item for item in _axis(node, order, default)}
        return Form((order,), (order,), node.op_type, attributes=attributes)

    return rule


def _quantize(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """QuantizeLinear, DequantizeLinear: scales of one axis, or of the whole tensor."""
    if port > 0 or rank_of(node.inputs[0]) != len(order):
        return None
    block = node.attributes.get("block_size")
    if rank_of(node.inputs[1]) not in (0, 1) or (block is not None and block.as_int()):
        return None
    attributes = {}
    if rank_of(node.inputs[1]) == 1:
        attributes = {item.name: item for item in _axis(node, order, 1)}
    rest = (None for _ in node.inputs[1:])
    return Form((order, *rest), (order,), node.op_type, attributes=attributes)


def _concat(node: ir.Node, order: Permutation, port: int) -> Form | None:
    del port
    if any(rank_of(value) != len(order) for value in node.inputs):
        return None
    attributes = {item.name: item for item in _axis(node, order, 0)}
    return Form((order,) * len(node.inputs), (order,), "Concat", attributes=attributes)


def _split(node: ir.Node, order: Permutation, port: int) -> Form | None:
    if port > 0 or rank_of(node.inputs[0]) != len(order):
        return None
    attributes = {item.name: item for item in _axis(node, order, 0)}
    rest = (None for _ in node.inputs[1:])
    outputs = (order,) * len(node.outputs)
    return Form((order, *rest), outputs, "Split", attributes=attributes)


def _pad(node: ir.Node, order: Permutation, port: int) -> Form | None:
    rank = len(order)
    if port > 0 or rank_of(node.inputs[0]) != rank:
        return None
    pads = constant_ints(node.inputs[1])
    axes = _ints(node, 3, range(rank))
    if pads is None or axes is None:
        return None
    full = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        full[axis % rank] = pads[index]
        full[rank + axis % rank] = pads[len(axes) + index]
    moved = [full[axis] for axis in order] + [full[rank + axis] for axis in order]
    inputs = (order, None, *(None for _ in node.inputs[2:3]))
    constants = {1: np.array(moved, np.int64)}
    return Form(inputs, (order,), "Pad", constants=constants)


def _slice(node: ir.Node, order: Permutation, port: int) -> Form | None:
    rank = len(order)
    if port > 0 or rank_of(node.inputs[0]) != rank:
        return None
    starts = node.inputs[1]
    if starts is None or starts.shape is None:
        return None
    count = starts.shape[0]
    axes = _ints(node, 3, range(count) if isinstance(count, int) else None)
    if axes is None:
        return None
    moved = [inverse(order)[axis % rank] for axis in axes]
    dtype = starts.dtype
    steps = () if len(node.inputs) <= 4 else (None,)
    constants = {3: np.array(moved, np.int32 if dtype == ir.DataType.INT32 else np.int64)}
    return Form((order, None, None, None, *steps), (order,), "Slice", constants=constants)


def _reduction(node: ir.Node, order: Permutation, port: int) -> Form | None:
    keep = node.attributes.get("keepdims")
    keeps = keep is None or keep.as_int() == 1
    rank = rank_of(node.inputs[0])
    if rank != len(order) or (port != 0 and not keeps):
        return None
    none = node.attributes.get("noop_with_empty_axes")
    empty = () if none is not None and none.as_int() else range(rank)
    attribute = node.attributes.get("axes")
    given = _ints(node, 1, empty) if attribute is None else attribute.as_ints()
    if given is None:
        return None
    axes = sorted({axis % rank for axis in (given or empty)})
    moved = sorted(inverse(order)[axis] for axis in axes)
    outputs = order if keeps else _without(order, axes)
    if not moved:
        return None
    if attribute is not None:
        attributes = {"axes": ir.AttrInt64s("axes", moved)}
        return Form((order,), (outputs,), node.op_type, attributes=attributes)
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return Form((order,), (outputs,), node.op_type)
    constants = {1: np.array(moved, np.int64)}
    return Form((order, None), (outputs,), node.op_type, constants=constants)


def _reduction_by_attribute(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Before opset 18 the axes are an attribute; that of ReduceSum became an input in 13."""
    form = _reduction(node, order, port)
    if form is None or not form.constants:
        return form
    axes = ir.AttrInt64s("axes", [int(axis) for axis in form.constants[1]])
    return Form(form.inputs[:1], form.outputs, form.op_type, attributes={"axes": axes})


def _arg(node: ir.Node, order: Permutation, port: int) -> Form | None:
    keep = node.attributes.get("keepdims")
    keeps = keep is None or keep.as_int() == 1
    if rank_of(node.inputs[0]) != len(order) or (port != 0 and not keeps):
        return None
    (axis,) = _axis(node, order, 0)
    outputs = order if keeps else _without(order, [order[axis.as_int()]])
    return Form((order,), (outputs,), node.op_type, attributes={"axis": axis})


def _global_pool(node: ir.Node, order: Permutation, port: int) -> Form | None:
    del port
    if rank_of(node.inputs[0]) != len(order):
        return None
    axes = sorted(inverse(order)[2:])
    constants = {1: np.array(axes, np.int64)}
    return Form((order, None), (order,), _GLOBAL[node.op_type], constants=constants)


def _global_pool_by_attribute(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Before opset 18 the axes of reductions are an attribute."""
    form = _global_pool(node, order, port)
    if form is None:
        return None
    axes = ir.AttrInt64s("axes", [int(axis) for axis in form.constants[1]])
    return Form(form.inputs[:1], form.outputs, form.op_type, attributes={"axes": axes})


def _cumulative(node: ir.Node, order: Permutation, port: int) -> Form | None:
    axis = constant_ints(node.inputs[1])
    tensor = constant_tensor(node.inputs[1])
    if port > 0 or axis is None or tensor is None or rank_of(node.inputs[0]) != len(order):
        return None
    moved = inverse(order)[axis[0] % len(order)]
    constants = {1: np.full(tuple(tensor.shape.numpy()), moved, tensor.dtype.numpy())}
    return Form((order, None), (order,), node.op_type, constants=constants)


def _spread(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Expand and Tile, by constants."""
    sizes = constant_ints(node.inputs[1])
    rank = len(order)
    if port > 0 or sizes is None or len(sizes) != rank or rank_of(node.inputs[0]) != rank:
        return None
    constants = {1: np.array([sizes[axis] for axis in order], np.int64)}
    return Form((order, None), (order,), node.op_type, constants=constants)


def _gather(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Gather by indices of rank 1, which keeps the rank, or of rank 0."""
    indices = rank_of(node.inputs[1])
    if rank_of(node.inputs[0]) != len(order) or indices not in (0, 1):
        return None
    if port > 0 or (port < 0 and indices == 0):
        return None
    (axis,) = _axis(node, order, 0)
    result = order if indices == 1 else _without(order, [order[axis.as_int()]])
    return Form((order, None), (result,), "Gather", attributes={"axis": axis})


def _squeeze(node: ir.Node, order: Permutation, port: int) -> Form | None:
    rank = len(order)
    axes = _ints(node, 1, None)
    if port != 0 or axes is None or rank_of(node.inputs[0]) != rank:
        return None
    gone = [axis % rank for axis in axes]
    constants = {1: np.array(sorted(inverse(order)[axis] for axis in gone), np.int64)}
    return Form((order, None), (_without(order, gone),), "Squeeze", constants=constants)


def _shape(node: ir.Node, order: Permutation, port: int) -> Form | None:
    if port != 0 or rank_of(node.inputs[0]) != len(order):
        return None
    start, end = node.attributes.get("start"), node.attributes.get("end")
    first = 0 if start is None else start.as_int()
    window = slice(first, None if end is None else end.as_int())
    picks = inverse(order)[window]
    dropped = frozenset({"start", "end"})
    return Form((order,), (None,), "Shape", dropped=dropped, picks=picks)


def _size(node: ir.Node, order: Permutation, port: int) -> Form | None:
    return Form((order,), (None,), "Size") if port == 0 else None


def _reshape(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """Reshape and Flatten of data that lie in the same place in both layouts, or that keep N, C."""
    value, result = node.inputs[0], node.outputs[0]
    if port != 0 or value is None or value.shape is None or result.shape is None:
        return None
    if rank_of(value) != len(order) or order != channel_last(len(order)):
        return None
    before, after = value.shape, result.shape
    if sum(not isinstance(dim, int) for dim in after) > 1:
        return None
    sizes = [dim if isinstance(dim, int) else -1 for dim in after]
    stays = before[1] == 1 or all(dim == 1 for dim in list(before)[2:])
    if stays:
        target, outcome = sizes, identity(len(sizes))
    elif len(sizes) > 2 and list(before)[:2] == list(after)[:2]:
        outcome = channel_last(len(sizes))
        target = [sizes[axis] for axis in outcome]
    else:
        return None
    if 0 in target:
        return None
    return Form(
        (order, None),
        (None if is_identity(outcome) else outcome,),
        "Reshape",
        dropped=frozenset({"axis", "allowzero"}),
        constants={1: np.array(target, np.int64)},
    )


def _without(order: Permutation, axes: list[int]) -> Permutation | None:
    """Return the order of what is left when axes (of the source) go; None for no change."""
    left = sorted(set(range(len(order))) - set(axes))
    result = tuple(left.index(axis) for axis in order if axis in left)
    return None if is_identity(result) else result


def _ints(
    node: ir.Node, index: int, default: range | tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return the items of a constant input; the default where it is left out."""
    if index >= len(node.inputs) or node.inputs[index] is None:
        return None if default is None else tuple(default)
    return constant_ints(node.inputs[index])


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_GLOBAL, _global_pool),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("CumProd", "CumSum"), _cumulative),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _quantize),
    **dict.fromkeys(("Expand", "Tile"), _spread),
    **dict.fromkeys(("Flatten", "Reshape"), _reshape),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), _along_axis(-1)),
    "Clip": _first_only,
    "Concat": _concat,
    "Gather": _gather,
    "Pad": _pad,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
}
"""The rules, by operator of the default domain."""

RULES_BEFORE_18: Mapping[str, Rule] = {
    **RULES,
    **dict.fromkeys(_REDUCTIONS - {"ReduceSum"}, _reduction_by_attribute),
    **dict.fromkeys(_GLOBAL, _global_pool_by_attribute),
}
"""The rules for opsets 13 to 17."""
