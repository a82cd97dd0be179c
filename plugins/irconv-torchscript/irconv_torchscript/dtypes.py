"""ONNX dtypes and the torch dtypes that hold them, by name."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["ANY", "CARRIERS", "FLOATS", "INTERFACE", "NATIVE", "UNSIGNED", "WIDTHS"]

_T = ir.DataType

_NATIVE: dict[ir.DataType, str] = {
    _T.FLOAT: "float32",
    _T.DOUBLE: "float64",
    _T.FLOAT16: "float16",
    _T.BFLOAT16: "bfloat16",
    _T.INT64: "int64",
    _T.INT32: "int32",
    _T.INT16: "int16",
    _T.INT8: "int8",
    _T.UINT8: "uint8",
    _T.BOOL: "bool",
}
_WIDER: dict[ir.DataType, str] = {_T.UINT16: "int32", _T.UINT32: "int64", _T.UINT64: "int64"}
_STORED: dict[ir.DataType, str] = {
    _T.INT4: "int8",
    _T.UINT4: "uint8",
    _T.INT2: "int8",
    _T.UINT2: "uint8",
    _T.FLOAT8E4M3FN: "float8_e4m3fn",
    _T.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    _T.FLOAT8E5M2: "float8_e5m2",
    _T.FLOAT8E5M2FNUZ: "float8_e5m2fnuz",
    _T.FLOAT8E8M0: "float8_e8m0fnu",
    _T.FLOAT4E2M1: "float32",
}

CARRIERS: dict[ir.DataType, str] = {**_NATIVE, **_WIDER, **_STORED}
"""The torch dtype in which values of an ONNX dtype are computed.

torch has few kernels for unsigned integers of 16 bits and more; they live in wider signed ones,
uint64 by its bits. Types narrower than a byte live in a byte, float4 in float32, by value.
"""

INTERFACE: dict[ir.DataType, str] = {
    **CARRIERS,
    _T.UINT16: "uint16",
    _T.UINT32: "uint32",
    _T.UINT64: "uint64",
}
"""The torch dtype of an input or output of the whole model."""

NATIVE = frozenset(_NATIVE)
"""Dtypes that torch computes with."""
UNSIGNED = NATIVE | frozenset(_WIDER)
"""Those, and the unsigned integers that live in wider ones."""
ANY = frozenset(CARRIERS)
"""Every dtype that a tensor may have; an operator that only moves values takes them all."""
FLOATS = frozenset({_T.FLOAT, _T.DOUBLE, _T.FLOAT16, _T.BFLOAT16})
"""Floating-point dtypes that torch computes with."""

WIDTHS: dict[ir.DataType, int] = {_T.UINT16: 16, _T.UINT32: 32, _T.UINT64: 64}
"""Bits of the unsigned integers that live in wider ones."""
