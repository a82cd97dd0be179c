"""Einsum by diagonals, sums, and one MatMul or Mul for each further operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.block import Dim
from irconv.passes.decompose.einsum_equation import parse_equation
from irconv.passes.decompose.site import Site

__all__ = ["DecomposeEinsum"]

_NARROW = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16})
"""Dtypes that MatMul and ReduceSum lack; 32 bits and the cast back wrap around as they do."""


@dataclass
class _Term:
    """A tensor and the label of each of its axes; all labels differ."""

    value: ir.Value
    labels: list[str]


def einsum(site: Site) -> ir.Value:
    """ONNX Einsum (since 12)."""
    values = [site.input(index) for index in range(len(site.node.inputs))]
    ranks = [site.rank(value) for value in values]
    operands, result = parse_equation(site.attribute("equation", ""), ranks)
    dtype = site.dtype(values[0])
    if dtype in _NARROW:
        values = [site.cast(value, ir.DataType.INT32) for value in values]
    terms = [_Term(value, labels) for value, labels in zip(values, operands, strict=True)]
    total: _Term | None = None
    for index, term in enumerate(terms):
        later = {*result, *(label for other in terms[index + 1 :] for label in other.labels)}
        earlier = set() if total is None else {*total.labels}
        current = _sum_but(site, _without_repeats(site, term), later | earlier)
        total = current if total is None else _contract(site, total, current, later)
    assert total is not None
    total = _sum_but(site, total, set(result))
    value = site.transpose(total.value, [total.labels.index(label) for label in result])
    return site.cast(value, dtype)


def _without_repeats(site: Site, term: _Term) -> _Term:
    """Take the diagonal of every two axes of one label."""
    value, labels = term.value, list(term.labels)
    while repeated := next((label for label in labels if labels.count(label) > 1), None):
        first = labels.index(repeated)
        second = labels.index(repeated, first + 1)
        rest = [axis for axis in range(len(labels)) if axis not in (first, second)]
        value = site.transpose(value, [first, second, *rest])
        size, _, *others = site.sizes(value)
        rows = site.reshape(value, [site.product([size, size]), *others])
        step = site.vector([size + 1 if isinstance(size, int) else site.op("Add", size, 1)])
        value = site.op("Gather", rows, site.op("Mul", site.count(size), step), axis=0)
        labels = [repeated, *(labels[axis] for axis in rest)]
    return _Term(value, labels)


def _sum_but(site: Site, term: _Term, kept: set[str]) -> _Term:
    axes = [axis for axis, label in enumerate(term.labels) if label not in kept]
    if not axes:
        return term
    value = site.op("ReduceSum", term.value, axes, keepdims=0)
    return _Term(value, [label for label in term.labels if label in kept])


def _contract(site: Site, left: _Term, right: _Term, kept: set[str]) -> _Term:
    """Multiply two terms and sum over the labels that both have and nothing else needs."""
    summed = [label for label in left.labels if label in right.labels and label not in kept]
    if summed and all(_same_size(site, left, right, label) for label in summed):
        return _matmul(site, left, right, summed)
    labels = [*left.labels, *(label for label in right.labels if label not in left.labels)]
    product = site.op("Mul", _aligned(site, left, labels), _aligned(site, right, labels))
    return _sum_but(site, _Term(product, labels), kept)


def _same_size(site: Site, left: _Term, right: _Term, label: str) -> bool:
    """Return whether no broadcasting is to be seen along a label."""
    sizes = {site.dims(term.value)[term.labels.index(label)] for term in (left, right)} - {None}
    return len(sizes) <= 1


def _aligned(site: Site, term: _Term, labels: Sequence[str]) -> ir.Value:
    """Return the term with its axes in the order of ``labels`` and dims of 1 for the others."""
    own = [label for label in labels if label in term.labels]
    value = site.transpose(term.value, [term.labels.index(label) for label in own])
    missing = [axis for axis, label in enumerate(labels) if label not in term.labels]
    return site.op("Unsqueeze", value, missing) if missing else value


def _matmul(site: Site, left: _Term, right: _Term, summed: Sequence[str]) -> _Term:
    batch = [label for label in left.labels if label in right.labels and label not in summed]
    rows = [label for label in left.labels if label not in right.labels]
    columns = [label for label in right.labels if label not in left.labels]
    second, _ = _matrix(site, right, batch, summed, columns)
    if not batch and rows and len(summed) == len(columns) == 1:
        first = site.transpose(left.value, [left.labels.index(x) for x in (*rows, *summed)])
        return _Term(site.op("MatMul", first, second), [*rows, *columns])
    first, row_sizes = _matrix(site, left, batch, rows, summed)
    column_sizes = [site.size(right.value, right.labels.index(label)) for label in columns]
    product = site.op("MatMul", first, second)
    if len(rows) != 1 or len(columns) != 1:
        outer = [site.size(product, axis) for axis in range(len(batch))]
        product = site.reshape(product, [*outer, *row_sizes, *column_sizes])
    return _Term(product, [*batch, *rows, *columns])


def _matrix(
    site: Site, term: _Term, batch: Sequence[str], rows: Sequence[str], columns: Sequence[str]
) -> tuple[ir.Value, list[Dim]]:
    """Return the term as matrices behind the batch axes, and the sizes of the rows' labels."""
    order = [term.labels.index(label) for label in (*batch, *rows, *columns)]
    value = site.transpose(term.value, order)
    sizes = site.sizes(value)
    outer, inner = len(batch), len(batch) + len(rows)
    if len(rows) != 1 or len(columns) != 1:
        merged = [site.product(sizes[outer:inner]), site.product(sizes[inner:])]
        value = site.reshape(value, [*sizes[:outer], *merged])
    return value, sizes[outer:inner]


@dataclass(frozen=True)
class DecomposeEinsum(Decomposition):
    """Replace Einsum by Transpose, ReduceSum, Reshape, Mul and MatMul, operand after operand.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 3] a, float[4, 3] b) => (float[N, 4, 2] y) {
            y = Einsum <equation = "nij,kj->nki"> (a, b)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 3] a, float[4, 3] b) => (float[N, 4, 2] y)
        <float[3, 4] y_Transpose, float[N, 2, 4] y_MatMul> {
            y_Transpose = Transpose <perm = [1, 0]> (b)
            y_MatMul = MatMul(a, y_Transpose)
            y = Transpose <perm = [0, 2, 1]> (y_MatMul)
        }
    """

    name: ClassVar[str] = "decompose-einsum"
    rules: ClassVar[Mapping[str, Rule]] = {"Einsum": einsum}
