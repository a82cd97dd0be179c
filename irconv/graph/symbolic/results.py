"""Dims of results that an input's items say, or that are sums and products of sizes."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.graph.symbolic.dims import Dims, broadcast
from irconv.graph.symbolic.expression import (
    Dim,
    exact_quotient,
    is_nonnegative,
    minimum,
    unknown_size,
)

if TYPE_CHECKING:
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["RESULT_RULES", "total"]

_INT32_MAX = int(np.iinfo(np.int32).max)
_UNCHANGED = (
    "Abs", "BatchNormalization", "Cast", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor",
    "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log",
    "LogSoftmax", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin",
    "Softmax", "Softplus", "Sqrt", "Tanh",
)  # fmt: skip
_BROADCAST = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min",
    "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Where", "Xor",
)  # fmt: skip

Rule = Callable[[ir.Node, "Sizes"], Dims | None]


def total(dims: Dims) -> Dim:
    """Return the number of elements of a tensor."""
    return functools.reduce(operator.mul, dims, 1)


def _same(node: ir.Node, sizes: Sizes) -> Dims | None:
    return sizes.dims(node.inputs[0])


def _broadcast(node: ir.Node, sizes: Sizes) -> Dims | None:
    if "axis" in node.attributes or "broadcast" in node.attributes:
        return None
    result: Dims = ()
    for value in node.inputs:
        dims = sizes.dims(value)
        if dims is None:
            return None
        result = broadcast(result, dims)
    return result


def _reshape(node: ir.Node, sizes: Sizes) -> Dims | None:
    if len(node.inputs) < 2:
        return None
    source, target = sizes.dims(node.inputs[0]), sizes.items(node.inputs[1])
    if target is None or target.is_scalar:
        return None
    allow_zero = node.attributes.get_int("allowzero", 0)
    dims: list[Dim] = []
    for axis, item in enumerate(target.values):
        if item == 0 and not allow_zero:
            if source is None or axis >= len(source):
                return None
            dims.append(source[axis])
        else:
            dims.append(unknown_size() if item is None else item)
    if -1 in dims:
        dims[dims.index(-1)] = _rest(source, tuple(dim for dim in dims if dim != -1))
    return tuple(dims)


def _rest(source: Dims | None, others: Dims) -> Dim:
    """Return the size that the others leave of a tensor's elements."""
    if source is None or 0 in others:
        return unknown_size()
    rest = exact_quotient(total(source), total(others))
    return unknown_size() if rest is None else rest


def _expand(node: ir.Node, sizes: Sizes) -> Dims | None:
    source, target = sizes.dims(node.inputs[0]), sizes.items(node.inputs[1])
    if source is None or target is None or target.is_scalar:
        return None
    sizes_asked = tuple(unknown_size() if item is None else item for item in target.values)
    return broadcast(source, sizes_asked)


def _constant_of_shape(node: ir.Node, sizes: Sizes) -> Dims | None:
    shape = sizes.items(node.inputs[0])
    if shape is None or shape.is_scalar:
        return None
    return tuple(unknown_size() if item is None else item for item in shape.values)


def _resize(node: ir.Node, sizes: Sizes) -> Dims | None:
    """Return the sizes asked for, where all are; scales are left to ONNX's own inference."""
    stretches = node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    if len(node.inputs) < 4 or "axes" in node.attributes or not stretches:
        return None
    target = sizes.items(node.inputs[3])
    if target is None or target.is_scalar or not target.values:
        return None
    return tuple(unknown_size() if item is None else item for item in target.values)


def _concat(node: ir.Node, sizes: Sizes) -> Dims | None:
    found = [sizes.dims(value) for value in node.inputs]
    parts = [dims for dims in found if dims is not None]
    if len(parts) != len(found) or len({len(dims) for dims in parts}) != 1:
        return None
    axis = node.attributes["axis"].as_int() % len(parts[0])
    dims = [_agreed([part[index] for part in parts]) for index in range(len(parts[0]))]
    length = functools.reduce(operator.add, (part[axis] for part in parts), 0)
    return (*dims[:axis], length, *dims[axis + 1 :])


def _agreed(dims: list[Dim]) -> Dim:
    """Return the size that all must have: a number where one of them is one."""
    return next((dim for dim in dims if isinstance(dim, int)), dims[0])


def _tile(node: ir.Node, sizes: Sizes) -> Dims | None:
    source, repeats = sizes.dims(node.inputs[0]), sizes.items(node.inputs[1])
    if source is None or repeats is None or len(repeats.values) != len(source):
        return None
    return tuple(
        unknown_size() if count is None else dim * count
        for dim, count in zip(source, repeats.values, strict=True)
    )


def _range(node: ir.Node, sizes: Sizes) -> Dims | None:
    start, limit, delta = (sizes.items(value) for value in node.inputs)
    if start is None or limit is None or delta is None:
        return (unknown_size(),)
    first, last = start.values[0], limit.values[0]
    if first is None or last is None or delta.values[0] != 1:
        return (unknown_size(),)
    length = last - first
    return (length,) if is_nonnegative(length) else (unknown_size(),)


def _slice(node: ir.Node, sizes: Sizes) -> Dims | None:
    """Slice by steps of 1; the sizes of sliced axes are known where the bounds are."""
    source = sizes.dims(node.inputs[0])
    if source is None or len(node.inputs) < 3:
        return None
    starts, ends = sizes.items(node.inputs[1]), sizes.items(node.inputs[2])
    if starts is None or ends is None:
        return None
    axes = _constant_or(node, 3, tuple(range(len(starts.values))))
    steps = _constant_or(node, 4, (1,) * len(starts.values))
    if (
        axes is None
        or steps is None
        or not (len(starts.values) == len(ends.values) == len(axes) == len(steps))
    ):
        return None
    dims = list(source)
    for start, end, axis, step in zip(starts.values, ends.values, axes, steps, strict=True):
        dims[axis % len(dims)] = _sliced(dims[axis % len(dims)], start, end, step)
    return tuple(dims)


def _constant_or(node: ir.Node, index: int, default: tuple[int, ...]) -> tuple[int, ...] | None:
    if index >= len(node.inputs) or node.inputs[index] is None:
        return default
    return constant_ints(node.inputs[index])


def _sliced(size: Dim, start: Dim | None, end: Dim | None, step: int) -> Dim:
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int) and step:
        return len(range(*slice(start, end, step).indices(size)))
    if start != 0 or end is None or step != 1:
        return unknown_size()
    if isinstance(end, int) and end >= _INT32_MAX:
        return size
    cut = minimum(size, end)
    return unknown_size() if cut is None or not is_nonnegative(end) else cut


RESULT_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_UNCHANGED, _same),
    **dict.fromkeys(_BROADCAST, _broadcast),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Tile": _tile,
}
"""The rules, by operator of the default domain; None leaves the node to ONNX's own inference."""
