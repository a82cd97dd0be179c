"""Recognizing the causal mask: query i sees the keys j ≤ i, and no other.

It is a constant, or a triangle that ``Trilu`` cuts out of ones (torch's export of
``is_causal=True``)::

    Where(Equal(Trilu(ones, upper=0), 0), -inf, 0)        Where(Cast(Trilu(ones)), 0, -inf)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.fusions.attention.scores import MASKED, Term
from irconv.passes.fusions.pattern import made_by, number_attribute, operand, scalar

__all__ = ["is_causal"]

_MAX_ITEMS = 1 << 24


def is_causal(term: Term, sizes: Sizes) -> bool:
    """Return whether a mask of square scores is the causal one for every batch and head."""
    dims = sizes.dims(term.value)
    if dims is None or len(dims) < 2 or any(dim != 1 for dim in dims[:-2]) or dims[-1] != dims[-2]:
        return False
    if term.fill is not None:
        return _allowed(term.value) is (not term.where)
    tensor = constant_tensor(term.value)
    if tensor is not None:
        return tensor.size <= _MAX_ITEMS and _is_additive_triangle(tensor.numpy())
    node = made_by(term.value, "Where")
    if node is None:
        return False
    yes, no = scalar(operand(node, 1)), scalar(operand(node, 2))
    if yes is None or no is None or {yes, no} - {0.0} == set() or max(yes, no) != 0:
        return False
    return min(yes, no) <= MASKED and _allowed(operand(node, 0)) is (yes == 0)


def _is_additive_triangle(array: np.ndarray) -> bool:
    matrix = array.reshape(array.shape[-2:])
    lower = np.tri(len(matrix), dtype=bool)
    return bool((matrix[lower] == 0).all() and (matrix[~lower] <= MASKED).all())


def _allowed(value: ir.Value | None) -> bool | None:
    """Return for which truth value a condition holds on the lower triangle, None for neither."""
    tensor = constant_tensor(value)
    if tensor is not None:
        if tensor.dtype != ir.DataType.BOOL or tensor.size > _MAX_ITEMS:
            return None
        array = tensor.numpy()
        matrix = array.reshape(array.shape[-2:])
        lower = np.tri(len(matrix), dtype=bool)
        if np.array_equal(matrix, lower):
            return True
        return False if np.array_equal(matrix, ~lower) else None
    node = made_by(value, "Not", "Cast", "Equal", "Trilu")
    if node is None:
        return None
    if node.op_type == "Trilu":
        return True if _cuts_ones(node) else None
    inner = _allowed(operand(node, 0))
    if node.op_type == "Cast" or inner is None:
        return inner
    if node.op_type == "Equal" and scalar(operand(node, 1)) != 0:
        return None
    return not inner


def _cuts_ones(node: ir.Node) -> bool:
    offset = operand(node, 1)
    if number_attribute(node, "upper", 1) != 0 or (offset is not None and scalar(offset) != 0):
        return False
    source = made_by(operand(node, 0), "Expand", "ConstantOfShape")
    if source is None:
        tensor = constant_tensor(operand(node, 0))
        return tensor is not None and bool((tensor.numpy() == 1).all())
    if source.op_type == "Expand":
        return scalar(operand(source, 0)) == 1
    fill = source.attributes.get("value")
    return fill is not None and not fill.is_ref() and float(fill.as_tensor().numpy().item()) == 1
