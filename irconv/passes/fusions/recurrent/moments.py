"""Which step of a sequence a matrix is, and which columns of it are read."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.slice_form import Part, part_of
from irconv.passes.fusions.pattern import dims_of, made_by, number_attribute, operand, rank

__all__ = ["Moment", "columns_of", "moment_of"]


@dataclass(frozen=True)
class Moment:
    """A matrix [batch, size], which may be one step of a sequence of rank 3.

    Attributes:
        source: The matrix, or the sequence.
        axis: The axis of the steps, counted from 0; None where ``source`` is the matrix.
        index: The step; negative ones count from the end.
        value: The matrix itself, if the graph has it.
    """

    source: ir.Value
    axis: int | None = None
    index: int = 0
    value: ir.Value | None = field(default=None, compare=False)


def moment_of(value: ir.Value) -> Moment | None:
    """Return the step of a sequence that ``value`` is; None where it is none.

    Exporters write a Gather with a scalar index, or Squeeze or Reshape of what a Split, a Slice
    or a Gather cuts out.
    """
    node = made_by(value, "Gather", "Squeeze", "Reshape")
    source = None if node is None else operand(node, 0)
    if node is None or source is None:
        return None
    if node.op_type == "Gather":
        return _gathered(node, source, value, scalar=True)
    if rank(source) != 3:
        return None
    part = part_of(source)
    found = None
    if part is not None:
        cut = _cut(part)
        if cut is not None and len(cut[1]) == 1:
            found = Moment(part.source, cut[0], cut[1][0], value)
    elif (gather := made_by(source, "Gather")) is not None:
        data = operand(gather, 0)
        found = None if data is None else _gathered(gather, data, value, scalar=False)
    if found is None or found.axis not in (0, 1):
        return None
    if node.op_type == "Squeeze":
        return found if _squeezes(node, found.axis) else None
    return found if _reshapes(source, value) else None


def _gathered(node: ir.Node, source: ir.Value, value: ir.Value, *, scalar: bool) -> Moment | None:
    indices = constant_tensor(operand(node, 1))
    if indices is None or indices.size != 1 or rank(source) != 3:
        return None
    if len(indices.shape) != (0 if scalar else 1):
        return None
    axis = number_attribute(node, "axis", 0) % 3
    index = int(indices.numpy().reshape(-1)[0])
    return None if axis == 2 else Moment(source, axis, index, value)


def _squeezes(node: ir.Node, axis: int) -> bool:
    attribute = node.attributes.get("axes")
    if attribute is not None:
        return not attribute.is_ref() and [item % 3 for item in attribute.as_ints()] == [axis]
    axes = constant_ints(operand(node, 1))
    return axes is not None and [item % 3 for item in axes] == [axis]


def _reshapes(source: ir.Value, target_value: ir.Value) -> bool:
    """Return whether a matrix as wide as ``source`` is made, which then only loses an axis of 1."""
    dims, target = dims_of(source), dims_of(target_value)
    if dims is None or target is None or len(target) != 2:
        return False
    return isinstance(dims[-1], int) and dims[-1] == target[-1]


def columns_of(value: ir.Value) -> tuple[ir.Value, range] | None:
    """Return of which matrix or sequence ``value`` is which columns; None if of none."""
    part = part_of(value)
    cut = None if part is None else _cut(part)
    if part is None or cut is None or cut[0] != (rank(part.source) or 0) - 1:
        return None
    return (part.source, cut[1]) if cut[1].step == 1 else None


def _cut(part: Part) -> tuple[int, range] | None:
    """Return the axis and its indices where one axis is cut, and the others are whole."""
    dims = dims_of(part.source) or ()
    cuts = [(axis, kept) for axis, kept in part.ranges.items() if kept != _whole(dims[axis])]
    return cuts[0] if len(cuts) == 1 else None


def _whole(size: int | ir.SymbolicDim) -> range | None:
    return range(size) if isinstance(size, int) else None
