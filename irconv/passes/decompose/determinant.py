"""Det of small matrices by expansion along rows."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site

__all__ = ["determinant"]

_MOST = 4


def determinant(site: Site) -> ir.Value:
    """ONNX Det (since 11) of matrices of up to 4 rows: the expansion of Laplace."""
    data = site.input(0)
    size = site.dims(data)[-1]
    if size is None or not 0 < size <= _MOST:
        raise Keep(f"its matrices have {size or 'a dynamic number of'} rows, not 1 to {_MOST}")
    minors: dict[tuple[int, ...], ir.Value] = {
        (column,): _item(site, data, size - 1, column) for column in range(size)
    }
    for row in reversed(range(size - 1)):
        minors = _extended(site, data, row, size, minors)
    return minors[tuple(range(size))]


def _item(site: Site, data: ir.Value, row: int, column: int) -> ir.Value:
    line = site.op("Gather", data, site.scalar(row, ir.DataType.INT64), axis=-2)
    return site.op("Gather", line, site.scalar(column, ir.DataType.INT64), axis=-1)


def _extended(
    site: Site,
    data: ir.Value,
    row: int,
    size: int,
    minors: dict[tuple[int, ...], ir.Value],
) -> dict[tuple[int, ...], ir.Value]:
    """Return the minors that take in one more row, by the columns that they take."""
    found: dict[tuple[int, ...], ir.Value] = {}
    wider = {
        tuple(sorted((*columns, column)))
        for columns in minors
        for column in range(size)
        if column not in columns
    }
    for columns in sorted(wider):
        total: ir.Value | None = None
        for number, column in enumerate(columns):
            rest = tuple(other for other in columns if other != column)
            term = site.op("Mul", _item(site, data, row, column), minors[rest])
            sign = "Sub" if number % 2 else "Add"
            total = term if total is None else site.op(sign, total, term)
        assert total is not None
        found[columns] = total
    return found
