"""For each operator, when its first output equals one of its inputs bit for bit.

A check returns that input, a sentence where the node comes near and why it must stay, or None
where the node simply does something. The conditions follow the ONNX operator specifications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.determinism import dropout_trains
from irconv.passes.value_bounds import bounds_of, constant_bounds

__all__ = ["CHECKS", "REAL_CHECKS", "Check", "Verdict"]

Verdict = ir.Value | str | None
Opsets = Mapping[str, int]
Check = Callable[[ir.Node, Opsets], Verdict]

_INT64_MAX = np.iinfo(np.int64).max
_MAX_NEUTRAL_ITEMS = 1 << 16


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _ints(node: ir.Node, name: str, index: int) -> tuple[int, ...] | None:
    """Return constant integers given by an attribute, or by an input in later opsets."""
    attribute = node.attributes.get(name)
    if attribute is not None:
        return None if attribute.is_ref() else attribute.as_ints()
    return constant_ints(_input(node, index))


def _dims(value: ir.Value | None) -> tuple[int | ir.SymbolicDim, ...] | None:
    return None if value is None or value.shape is None else value.shape.dims


def _int_attribute(node: ir.Node, name: str, default: int) -> int | None:
    attribute = node.attributes.get(name)
    if attribute is None:
        return default
    return None if attribute.is_ref() else attribute.as_int()


def _cast(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source = _input(node, 0)
    if source is None or source.dtype is None:
        return None
    return source if source.dtype == _int_attribute(node, "to", -1) else None


def _cast_like(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source, like = _input(node, 0), _input(node, 1)
    if source is None or like is None or source.dtype is None:
        return None
    return source if source.dtype == like.dtype else None


def _transpose(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source, perm = _input(node, 0), node.attributes.get("perm")
    if perm is None:
        dims = _dims(source)
        return source if dims is not None and len(dims) <= 1 else None
    if perm.is_ref():
        return None
    return source if list(perm.as_ints()) == list(range(len(perm.as_ints()))) else None


def _reshape(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source, target = _input(node, 0), _ints(node, "shape", 1)
    dims, allow_zero = _dims(source), _int_attribute(node, "allowzero", 0)
    if dims is None or target is None or allow_zero is None or len(dims) != len(target):
        return None
    kept = [
        (goal == 0 and not allow_zero) or goal == dim
        for goal, dim in zip(target, dims, strict=True)
    ]
    # One dim that is computed from the others equals the old one where all others do.
    free = [goal == -1 and not allow_zero for goal in target]
    if all(k or f for k, f in zip(kept, free, strict=True)) and sum(free) <= 1:
        return source
    return None


def _flatten(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    dims = _dims(_input(node, 0))
    is_matrix = dims is not None and len(dims) == 2
    return _input(node, 0) if is_matrix and _int_attribute(node, "axis", 1) in (1, -1) else None


def _slice(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source, starts, ends = _input(node, 0), _ints(node, "starts", 1), _ints(node, "ends", 2)
    if starts is None or ends is None:
        return None
    axes = _ints(node, "axes", 3)
    if axes is None:
        if _input(node, 3) is not None:
            return None
        axes = tuple(range(len(starts)))
    steps = _ints(node, "steps", 4)
    if steps is None and _input(node, 4) is not None:
        return None
    if any(step != 1 for step in steps or ()) or not len(starts) == len(ends) == len(axes):
        return None
    dims = _dims(source)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = None
        if dims is not None and -len(dims) <= axis < len(dims):
            size = dims[axis]
        if start != 0 and not (isinstance(size, int) and start <= -size):
            return None
        if end != _INT64_MAX and not (isinstance(size, int) and end >= size):
            return None
    return source


def _single_input(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    return node.inputs[0] if len(node.inputs) == 1 else None


def _single_output(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    return _input(node, 0) if len(node.outputs) == 1 else None


def _pad(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    pads = _ints(node, "paddings" if "paddings" in node.attributes else "pads", 1)
    return _input(node, 0) if pads is not None and not any(pads) else None


def _tile(node: ir.Node, opsets: Opsets) -> Verdict:
    repeats = constant_ints(_input(node, 1)) if opsets.get("", 1) >= 6 else None
    return _input(node, 0) if repeats is not None and set(repeats) <= {1} else None


def _expand(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    target, dims = constant_ints(_input(node, 1)), _dims(_input(node, 0))
    if target is None or dims is None:
        return None
    return _input(node, 0) if _broadcast_keeps(dims, target) else None


def _broadcast_keeps(dims: Sequence[int | ir.SymbolicDim], other: Sequence[int]) -> bool:
    """Return whether broadcasting ``dims`` with ``other`` surely gives ``dims`` again."""
    if len(other) > len(dims):
        return False
    tail = dims[len(dims) - len(other) :]
    return all(size in (1, dim) for size, dim in zip(other, tail, strict=True))


def _squeeze(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    source = _input(node, 0)
    if "axes" in node.attributes or _input(node, 1) is not None:
        return None
    dims = _dims(source)
    if dims is None or not all(isinstance(dim, int) and dim != 1 for dim in dims):
        return None
    return source


def _unsqueeze(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    return _input(node, 0) if _ints(node, "axes", 1) == () else None


def _clip(node: ir.Node, opsets: Opsets) -> Verdict:
    bounded = opsets.get("", 1) < 11 or any(value is not None for value in node.inputs[1:])
    return None if bounded else _input(node, 0)


def _dropout(node: ir.Node, opsets: Opsets) -> Verdict:
    if dropout_trains(node, opsets):
        return "it trains, or may train: its training_mode is not a constant false"
    return _input(node, 0)


def _neutral(
    is_neutral: Callable[[np.ndarray], bool], positions: tuple[int, ...], near: str = ""
) -> Check:
    """Return a check for a binary operator with a neutral element at one of ``positions``.

    Args:
        is_neutral: Whether all items of the constant leave the other operand as it is.
        positions: Which operand may be the constant.
        near: Why a float zero is refused, where it would be neutral in real numbers.
    """

    def check(node: ir.Node, opsets: Opsets) -> Verdict:
        del opsets
        if len(node.inputs) != 2 or "axis" in node.attributes or "broadcast" in node.attributes:
            return None
        for position in positions:
            source, constant = node.inputs[1 - position], constant_tensor(node.inputs[position])
            dims = _dims(source)
            if source is None or constant is None or constant.size > _MAX_NEUTRAL_ITEMS:
                continue
            if constant.dtype == ir.DataType.STRING:
                continue
            array = constant.numpy()
            if not is_neutral(array):
                if near and not array.any():
                    return near
                continue
            if constant.shape.rank() == 0 or (
                dims is not None and _broadcast_keeps(dims, constant.shape.numpy())
            ):
                return source
            return "broadcasting may change the shape"
        return None

    return check


def _is_float(array: np.ndarray) -> bool:
    return not np.issubdtype(array.dtype, np.integer)


def _all_one(array: np.ndarray) -> bool:
    return bool(array.size) and bool((array == 1).all())


def _all_zero(array: np.ndarray, negative: bool) -> bool:
    if not array.size or array.any():
        return False
    return not _is_float(array) or bool((np.signbit(array.astype(np.float64)) == negative).all())


def _any_zero(array: np.ndarray) -> bool:
    return bool(array.size) and not array.any()


def _rectifier(node: ir.Node, opsets: Opsets) -> Verdict:
    del opsets
    return _input(node, 0) if bounds_of(_input(node, 0))[0] >= 0 else None


def _within(node: ir.Node, opsets: Opsets) -> Verdict:
    """Clip whose bounds hold already, and bounds that are absent."""
    source = _input(node, 0)
    verdict = _clip(node, opsets)
    if verdict is not None:
        return verdict
    limits = [-math.inf, math.inf]
    if opsets.get("", 1) < 11:
        for index, name in enumerate(("min", "max")):
            attribute = node.attributes.get(name)
            if attribute is not None and attribute.is_ref():
                return None
            limits[index] = limits[index] if attribute is None else attribute.as_float()
    else:
        for index, value in enumerate(node.inputs[1:3]):
            known = constant_bounds(value)
            if value is not None and known is None:
                return None
            limits[index] = limits[index] if known is None else known[index]
    low, high = bounds_of(source)
    return source if limits[0] <= low and high <= limits[1] else None


def _bounded(largest: bool) -> Check:
    """Max or Min by a constant that bounds nothing, where broadcasting keeps the shape."""

    def check(node: ir.Node, opsets: Opsets) -> Verdict:
        del opsets
        if len(node.inputs) == 1:
            return node.inputs[0]
        if len(node.inputs) != 2:
            return None
        for source, other in (tuple(node.inputs), tuple(reversed(node.inputs))):
            known, constant = constant_bounds(other), constant_tensor(other)
            if known is None or constant is None or source is None:
                continue
            low, high = bounds_of(source)
            if (known[1] <= low) if largest else (high <= known[0]):
                return source if _keeps(source, constant) else "broadcasting may change the shape"
        return None

    return check


def _keeps(source: ir.Value, constant: ir.TensorProtocol) -> bool:
    if constant.shape.rank() == 0:
        return True
    dims = _dims(source)
    return dims is not None and _broadcast_keeps(dims, constant.shape.numpy())


def _where(node: ir.Node, opsets: Opsets) -> Verdict:
    """Where with a condition that is the same everywhere."""
    del opsets
    known = constant_bounds(_input(node, 0))
    if known is None or known[0] != known[1] or len(node.inputs) != 3:
        return None
    source, other = node.inputs[1:3] if known[0] else reversed(node.inputs[1:3])
    condition, dims = constant_tensor(node.inputs[0]), _dims(source)
    if source is None or condition is None:
        return None
    sizes = [condition.shape.numpy(), *([] if other is None else [_static_dims(other)])]
    if dims is None or any(size is None or not _broadcast_keeps(dims, size) for size in sizes):
        return "broadcasting may change the shape"
    return source


def _static_dims(value: ir.Value) -> Sequence[int] | None:
    tensor = constant_tensor(value)
    if tensor is not None:
        return tuple(tensor.shape.numpy())
    dims = _dims(value)
    if dims is None or not all(isinstance(dim, int) for dim in dims):
        return None
    return tuple(dim for dim in dims if isinstance(dim, int))


def _all_true(array: np.ndarray) -> bool:
    return bool(array.size) and bool(array.all())


_ADD_ZERO = "x + 0.0 turns -0.0 into 0.0, so it is not bit-exact"
_SUB_ZERO = "x - (-0.0) turns -0.0 into 0.0, so it is not bit-exact"

CHECKS: Mapping[str, Check] = {
    "Add": _neutral(lambda array: _all_zero(array, negative=True), (0, 1), _ADD_ZERO),
    "And": _neutral(_all_true, (0, 1)),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Concat": _single_input,
    "Div": _neutral(_all_one, (1,)),
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Max": _single_input,
    "Mean": _single_input,
    "Min": _single_input,
    "Mul": _neutral(_all_one, (0, 1)),
    "Or": _neutral(_any_zero, (0, 1)),
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _single_output,
    "Squeeze": _squeeze,
    "Sub": _neutral(lambda array: _all_zero(array, negative=False), (1,), _SUB_ZERO),
    "Sum": _single_input,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""The checks, by operator of the default ONNX domain."""

REAL_CHECKS: Mapping[str, Check] = {
    "Abs": _rectifier,
    "Add": _neutral(_any_zero, (0, 1)),
    "Clip": _within,
    "Max": _bounded(largest=True),
    "Min": _bounded(largest=False),
    "Relu": _rectifier,
    "Sub": _neutral(_any_zero, (1,)),
}
"""Checks that hold in real numbers: the result may be 0.0 where the input is -0.0, and NaN, which
has no place in an order, may come through.
"""
