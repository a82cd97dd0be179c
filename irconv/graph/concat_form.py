"""Which operand of a ``Concat`` lies at which indices (ONNX operator specification of Concat)."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["is_joined_along", "operand_at"]


def is_joined_along(value: ir.Value, axis: int) -> bool:
    """Return whether a Concat of several operands along ``axis``, counted from 0, makes a value."""
    node, shape = value.producer(), value.shape
    if node is None or node.domain != "" or node.op_type != "Concat" or len(node.inputs) < 2:
        return False
    along = node.attributes.get("axis")
    if along is None or along.is_ref() or shape is None:
        return False
    return -len(shape) <= along.as_int() < len(shape) and along.as_int() % len(shape) == axis


def operand_at(value: ir.Value, axis: int, taken: range) -> ir.Value | None:
    """Return the operand that holds just the indices ``taken`` of a joined value.

    Args:
        value: What :func:`is_joined_along` ``axis`` is true of.
        axis: The axis, counted from 0.
        taken: Indices along the axis.

    Returns:
        The operand; None where no operand begins and ends there, or sizes before it are not known.
    """
    node = value.producer()
    if node is None or taken.step != 1 or not taken:
        return None
    start = 0
    for operand in node.inputs:
        shape = None if operand is None else operand.shape
        size = None if shape is None or axis >= len(shape) else shape[axis]
        if not isinstance(size, int) or start > taken.start:
            return None
        if (start, start + size) == (taken.start, taken.stop):
            return operand
        start += size
    return None
