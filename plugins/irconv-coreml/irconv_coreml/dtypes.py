"""ONNX dtypes and the MIL dtypes that hold them.

MIL computes with float16, float32, int32 and bool. Integers of every other width are held in
int32, with results wrapped where a narrow dtype would have wrapped; float64 and bfloat16 are
computed in float32.
"""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["FEATURE_DTYPES", "INT32_MAX", "INT32_MIN", "MIL_DTYPES", "NARROW", "is_float", "is_int"]

_D = ir.DataType

MIL_DTYPES: dict[ir.DataType, str] = {
    _D.FLOAT: "fp32",
    _D.DOUBLE: "fp32",
    _D.BFLOAT16: "fp32",
    _D.FLOAT16: "fp16",
    _D.BOOL: "bool",
    _D.INT64: "int32",
    _D.INT32: "int32",
    _D.INT16: "int32",
    _D.INT8: "int32",
    _D.INT4: "int32",
    _D.INT2: "int32",
    _D.UINT64: "int32",
    _D.UINT32: "int32",
    _D.UINT16: "int32",
    _D.UINT8: "int32",
    _D.UINT4: "int32",
    _D.UINT2: "int32",
}
"""The MIL dtype of each ONNX dtype that can be held."""

FEATURE_DTYPES = {"fp32": "float32", "fp16": "float16", "int32": "int32", "bool": "int32"}
"""The dtype of a model's input or output for each MIL dtype."""

NARROW: dict[ir.DataType, tuple[int, int]] = {
    _D.INT16: (-(2**15), 2**16),
    _D.INT8: (-(2**7), 2**8),
    _D.INT4: (-(2**3), 2**4),
    _D.INT2: (-2, 4),
    _D.UINT16: (0, 2**16),
    _D.UINT8: (0, 2**8),
    _D.UINT4: (0, 2**4),
    _D.UINT2: (0, 4),
}
"""Least value, and number of values, of the integer dtypes that are narrower than 32 bits."""

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def is_float(dtype: ir.DataType | None) -> bool:
    """Return whether MIL holds the dtype as a float."""
    return dtype is not None and MIL_DTYPES.get(dtype, "").startswith("fp")


def is_int(dtype: ir.DataType | None) -> bool:
    """Return whether MIL holds the dtype as int32."""
    return dtype is not None and MIL_DTYPES.get(dtype) == "int32"
