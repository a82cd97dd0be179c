"""Which dtypes hold every value of which others."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

__all__ = ["holds_all", "is_integer"]

_SIGNED: Mapping[ir.DataType, int] = {
    ir.DataType.INT8: 7,
    ir.DataType.INT16: 15,
    ir.DataType.INT32: 31,
    ir.DataType.INT64: 63,
}
_UNSIGNED: Mapping[ir.DataType, int] = {
    ir.DataType.BOOL: 1,
    ir.DataType.UINT8: 8,
    ir.DataType.UINT16: 16,
    ir.DataType.UINT32: 32,
    ir.DataType.UINT64: 64,
}
_MAGNITUDE = {**_SIGNED, **_UNSIGNED}
"""Bits of the largest magnitude."""
_FLOATS: Mapping[ir.DataType, tuple[int, int]] = {
    ir.DataType.FLOAT16: (11, 5),
    ir.DataType.BFLOAT16: (8, 8),
    ir.DataType.FLOAT: (24, 8),
    ir.DataType.DOUBLE: (53, 11),
}
"""Bits of precision, the leading one counted, and of the exponent (IEEE 754; bfloat16)."""


def is_integer(dtype: ir.DataType) -> bool:
    """Return whether a dtype is a plain integer of 8 to 64 bits; bool is none."""
    return dtype in _MAGNITUDE and dtype != ir.DataType.BOOL


def holds_all(dtype: ir.DataType, source: ir.DataType) -> bool:
    """Return whether ``dtype`` holds every value of ``source`` exactly.

    False where either is no bool, plain integer, or float of 16 to 64 bits.
    """
    if dtype in _FLOATS:
        precision, exponent = _FLOATS[dtype]
        if source in _FLOATS:
            return _FLOATS[source][0] <= precision and _FLOATS[source][1] <= exponent
        return source in _MAGNITUDE and _MAGNITUDE[source] <= precision
    if dtype not in _MAGNITUDE or source not in _MAGNITUDE:
        return False
    return _MAGNITUDE[source] <= _MAGNITUDE[dtype] and (dtype in _SIGNED or source in _UNSIGNED)
