"""What goes into a gate: products of matrices by constant weights, and constants.

Exporters multiply all gates' weights at once and split the columns, or each gate's by itself;
they multiply the sequence as a whole and take its steps afterwards; TensorFlow 1 puts the input
and the state side by side and multiplies both by one weight. All of that is one sum here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.fusions.pattern import (
    dims_of,
    made_by,
    number_attribute,
    operand,
    rank,
)
from irconv.passes.fusions.recurrent.moments import Moment, columns_of, moment_of
from irconv.runtime.base import Array

__all__ = ["Affine", "Piece", "affine"]

_MOST = 24
"""How many nodes are looked through for one gate."""


@dataclass(frozen=True)
class Piece:
    """Some rows and columns of a constant matrix [input, output], times a factor.

    Attributes:
        tensor: The matrix, or its transpose.
        turned: Whether it is the transpose, [output, input].
        rows: The rows.
        columns: The columns.
        factor: The factor.
    """

    tensor: ir.TensorProtocol
    turned: bool
    rows: range
    columns: range
    factor: float = 1.0

    def array(self) -> Array:
        """Return the matrix as ONNX's recurrent operators take it, [output, input]."""
        whole = self.tensor.numpy()
        whole = whole if self.turned else whole.T
        rows, columns = self.rows, self.columns
        part: Array = whole[columns.start : columns.stop, rows.start : rows.stop]
        return part if self.factor == 1 else part * np.asarray(self.factor, part.dtype)

    def same(self, other: Piece) -> bool:
        """Return whether both are the same matrix."""
        mine = (self.turned, self.rows, self.columns, self.factor, self.tensor.dtype)
        if mine != (other.turned, other.rows, other.columns, other.factor, other.tensor.dtype):
            return False
        return self.tensor is other.tensor or np.array_equal(
            self.tensor.numpy(), other.tensor.numpy()
        )


@dataclass(frozen=True)
class Affine:
    """A sum of products of matrices by constant weights, of constants, and of what is neither.

    Attributes:
        products: The weights of each matrix.
        bias: The sum of all constants, one number a column or one for all; of float64.
        others: What is neither.
        biased: Whether there are constants.
    """

    products: tuple[tuple[Moment, Piece], ...]
    bias: Array
    others: tuple[ir.Value, ...]
    biased: bool

    def pieces(self, moment: Moment) -> list[Piece]:
        """Return the weights of one matrix."""
        return [piece for found, piece in self.products if found == moment]

    def moments(self) -> list[Moment]:
        """Return the matrices, each once."""
        return list(dict.fromkeys(moment for moment, _ in self.products))


@dataclass(frozen=True)
class _Look:
    """A value to take apart: some of its columns, and one step along an axis of it."""

    value: ir.Value
    columns: range | None = None
    axis: int | None = None
    index: int = 0

    def at(self, value: ir.Value) -> _Look:
        return _Look(value, self.columns, self.axis, self.index)


def affine(value: ir.Value) -> Affine | None:
    """Return the sum that ``value`` is; None where it has too many terms to tell."""
    products: list[tuple[Moment, Piece]] = []
    others: list[ir.Value] = []
    bias: Array = np.zeros(1)
    biased = False
    stack = [_Look(value)]
    for _ in range(_MOST):
        if not stack:
            return Affine(tuple(products), bias, tuple(others), biased)
        look = stack.pop()
        row = _row(look)
        if row is not None:
            if 1 not in (row.size, bias.size) and row.size != bias.size:
                return None
            bias, biased = bias + row, True
            continue
        found = _product(look)
        if found is not None:
            products += found[0]
            stack += found[1]
            continue
        deeper = list(_deeper(look))
        if deeper:
            stack += reversed(deeper)
        elif look.columns is None and look.axis is None:
            others.append(look.value)
        else:
            return None
    return None


def _row(look: _Look) -> Array | None:
    """Return a constant of which all rows are the same one."""
    tensor = constant_tensor(look.value)
    if tensor is None or not tensor.dtype.is_floating_point():
        return None
    array = tensor.numpy().astype(np.float64)
    rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
    if not rows.size or (rows != rows[0]).any() or (look.axis is not None and len(rows) > 1):
        return None
    row: Array = rows[0]
    if row.size == 1 or look.columns is None:
        return row
    return row[look.columns.start : look.columns.stop]


def _deeper(look: _Look) -> Iterator[_Look]:
    """Yield what a value is the sum, some columns or one step of."""
    value = look.value
    node = made_by(value, "Add")
    if node is not None:
        yield from (look.at(summand) for summand in _summands(node))
        return
    part = columns_of(value)
    if part is not None:
        source, columns = part
        if look.columns is not None:
            columns = range(columns.start + look.columns.start, columns.start + look.columns.stop)
        yield _Look(source, columns, look.axis, look.index)
        return
    moment = moment_of(value) if look.axis is None else None
    if moment is not None and made_by(moment.source, "MatMul", "Add", "Split", "Slice"):
        yield _Look(moment.source, look.columns, moment.axis, moment.index)


def _summands(node: ir.Node) -> list[ir.Value]:
    """Return the operands of an Add where none but a constant may be widened along axes."""
    summands = [value for value in node.inputs if value is not None]
    ranks = {rank(value) for value in summands if constant_tensor(value) is None}
    return summands if len(summands) == 2 and len(ranks) == 1 and ranks <= {2, 3} else []


def _product(look: _Look) -> tuple[list[tuple[Moment, Piece]], list[_Look]] | None:
    """Return a product by a constant matrix, and what else is added to it."""
    node = made_by(look.value, "MatMul", "Gemm")
    if node is None:
        return None
    data, tensor = operand(node, 0), constant_tensor(operand(node, 1))
    if data is None or tensor is None or len(tensor.shape) != 2:
        return None
    turned, factor, rest = False, 1.0, []
    if node.op_type == "Gemm":
        added = operand(node, 2)
        beta = number_attribute(node, "beta", 1.0)
        if look.axis is not None or number_attribute(node, "transA", 0):
            return None
        if added is not None and beta != 1:
            return None
        turned = bool(number_attribute(node, "transB", 0))
        factor = number_attribute(node, "alpha", 1.0)
        rest = [] if added is None else [look.at(added)]
    elif rank(data) != (2 if look.axis is None else 3):
        return None
    shape = tuple(tensor.shape.numpy())
    height, width = shape[::-1] if turned else shape
    columns = look.columns or range(width)
    if columns.stop > width:
        return None
    return [
        (moment, Piece(tensor, turned, rows, columns, factor))
        for moment, rows in _operands(look.at(data), height)
    ], rest


def _operands(look: _Look, height: int) -> list[tuple[Moment, range]]:
    """Return the matrices that stand side by side in what is multiplied."""
    value = look.value
    if look.axis is not None:
        return [(Moment(value, look.axis, look.index), range(height))]
    node = made_by(value, "Concat")
    if node is not None and number_attribute(node, "axis", 0) in (1, -1):
        widths = [_width(part) for part in node.inputs]
        if None not in widths:
            return _beside(node.inputs, [width or 0 for width in widths])
    return [(moment_of(value) or Moment(value, value=value), range(height))]


def _beside(parts: Sequence[ir.Value | None], widths: Sequence[int]) -> list[tuple[Moment, range]]:
    found, start = [], 0
    for part, width in zip(parts, widths, strict=True):
        assert part is not None
        found.append((moment_of(part) or Moment(part, value=part), range(start, start + width)))
        start += width
    return found


def _width(value: ir.Value | None) -> int | None:
    dims = dims_of(value)
    return dims[-1] if dims is not None and len(dims) == 2 and isinstance(dims[-1], int) else None
