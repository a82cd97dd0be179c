"""The half of a cosine or sine that rotary embedding needs.

Exporters compute cos and sin for every element, so each number stands there twice: once in
either half, or next to itself. What was computed from ``Concat(f, f)`` or ``Expand(f)`` element
by element is computed from f as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.fusions.fused import Item, Made
from irconv.passes.fusions.pattern import made_by, number_attribute, operand, scalar

__all__ = ["half_of"]

_UNARY = ("Cast", "Cos", "Identity", "Neg", "Sin")
_MAX_DEPTH = 16


def half_of(value: ir.Value, sizes: Sizes, *, interleaved: bool, depth: int = _MAX_DEPTH) -> Item:
    """Return every number once, of a value in whose last dim each stands twice.

    Args:
        value: The value; of rank 1 at least.
        sizes: The sizes in the model.
        interleaved: Whether a number stands next to itself, and not in either half.
        depth: How many nodes may be looked through.

    Returns:
        The half, or None where the numbers are not known to stand there twice.
    """
    tensor = constant_tensor(value)
    if tensor is not None:
        return _half_of_constant(tensor, interleaved=interleaved)
    node, dims = value.producer(), sizes.dims(value)
    if node is None or node.domain != "" or dims is None or not depth:
        return None
    source = operand(node, 0)
    if source is None:
        return None

    def inner(part: ir.Value) -> Item:
        return half_of(part, sizes, interleaved=interleaved, depth=depth - 1)

    if node.op_type == "Concat" and not interleaved:
        return _repeated(node, len(dims))
    if node.op_type == "Reshape" and interleaved:
        return _spread(node, sizes)
    if node.op_type in _UNARY:
        part = inner(source)
        attributes = {"to": number_attribute(node, "to", 1)} if node.op_type == "Cast" else {}
        return None if part is None else Made(node.op_type, [part], attributes, sizes.dtype(value))
    if node.op_type in ("Mul", "Div"):
        return _scaled(node, inner)
    if node.op_type == "Unsqueeze":
        axes = constant_ints(operand(node, 1))
        if axes is None or any(axis % len(dims) == len(dims) - 1 for axis in axes):
            return None
        positive = np.array([axis % len(dims) for axis in axes], np.int64)
        part = inner(source)
        return (
            None if part is None else Made("Unsqueeze", [part, positive], dtype=sizes.dtype(value))
        )
    if node.op_type == "Gather" and number_attribute(node, "axis", 0) == 0:
        rank = sizes.dims(source)
        part = inner(source) if rank is not None and len(rank) > 1 else None
        return (
            None
            if part is None
            else Made("Gather", [part, node.inputs[1]], dtype=sizes.dtype(value))
        )
    return None


def _half_of_constant(tensor: ir.TensorProtocol, *, interleaved: bool) -> Item:
    array = tensor.numpy()
    if array.ndim == 0 or array.shape[-1] % 2:
        return None
    middle = array.shape[-1] // 2
    first, second = (
        (array[..., ::2], array[..., 1::2])
        if interleaved
        else (array[..., :middle], array[..., middle:])
    )
    return np.ascontiguousarray(first) if np.array_equal(first, second) else None


def _scaled(node: ir.Node, inner: Callable[[ir.Value], Item]) -> Item:
    first, second = node.inputs
    if first is not None and scalar(second) is not None:
        part = inner(first)
        return None if part is None else Made(node.op_type, [part, second], dtype=first.dtype)
    if node.op_type == "Mul" and second is not None and scalar(first) is not None:
        part = inner(second)
        return None if part is None else Made("Mul", [part, first], dtype=second.dtype)
    return None


def _repeated(node: ir.Node, rank: int) -> Item:
    """Return f of Concat(f, f) in the last dim."""
    last = number_attribute(node, "axis", 0) in (-1, rank - 1)
    same = len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]
    return node.inputs[0] if last and same else None


def _spread(node: ir.Node, sizes: Sizes) -> Item:
    """Return f of Reshape(x), where x has f twice in a last dim of its own."""
    wide = operand(node, 0)
    twice = made_by(wide, "Expand", "Concat", "Tile")
    dims, after = sizes.dims(wide), sizes.dims(node.outputs[0])
    if twice is None or dims is None or after is None or dims[-1] != 2:
        return None
    if len(dims) != len(after) + 1 or dims[:-2] != after[:-1]:
        return None
    split = made_by(operand(twice, 0), "Unsqueeze")
    source = None if split is None else operand(split, 0)
    before = sizes.dims(source)
    if twice.op_type == "Concat" and _repeated(twice, len(dims)) is None:
        return None
    if split is None or before is None or sizes.dims(split.outputs[0]) != (*before, 1):
        return None
    return source if before == dims[:-1] else None
