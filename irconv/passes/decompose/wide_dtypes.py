"""Computing in a wider dtype what would be computed in a narrow one, to the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Keep

__all__ = ["DTYPES", "biased", "check_wraps", "wider_dtypes", "wrapped_around"]

_D = ir.DataType
DTYPES: Mapping[str, ir.DataType] = {
    "bfloat16": _D.BFLOAT16,
    "bool": _D.BOOL,
    "float16": _D.FLOAT16,
    "float32": _D.FLOAT,
    "float64": _D.DOUBLE,
    "int8": _D.INT8,
    "int16": _D.INT16,
    "int32": _D.INT32,
    "int64": _D.INT64,
    "uint8": _D.UINT8,
    "uint16": _D.UINT16,
    "uint32": _D.UINT32,
    "uint64": _D.UINT64,
}
"""Dtypes by the names that options use."""
_WIDER: Mapping[ir.DataType, Sequence[ir.DataType]] = {
    _D.BFLOAT16: (_D.FLOAT, _D.DOUBLE),
    _D.FLOAT16: (_D.FLOAT, _D.DOUBLE),
    _D.FLOAT: (_D.DOUBLE,),
    _D.INT8: (_D.INT32, _D.INT64),
    _D.INT16: (_D.INT32, _D.INT64),
    _D.INT32: (_D.INT64,),
    _D.UINT8: (_D.INT32, _D.INT64),
    _D.UINT16: (_D.INT32, _D.INT64),
    _D.UINT32: (_D.INT64,),
    _D.UINT64: (_D.INT64,),
}
_OVERFLOWING = frozenset(
    {
        "Abs", "Add", "BitShift", "BitwiseNot", "CumProd", "CumSum", "Div", "Einsum", "Gemm",
        "MatMul", "Mean", "Mul", "Neg", "Pow", "ReduceL1", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "ScatterElements", "ScatterND", "Sub", "Sum",
    }
)  # fmt: skip
"""Operators whose result on integers may leave the range of their inputs."""
_ORDERING = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"})
_SAME_BITS = frozenset(
    {
        "Add", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Compress", "Concat",
        "Equal", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Mul",
        "Pad", "Reshape", "Slice", "Split", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Trilu",
        "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Operators that give the same bits for uint64 as for int64."""
_SELECTING = frozenset({"MaxPool"})
_SMALL = frozenset({_D.INT8, _D.INT16, _D.UINT8, _D.UINT16})
_SIGN = -(2**63)


def wider_dtypes(op_type: str, dtype: ir.DataType) -> Sequence[ir.DataType]:
    """Return the dtypes that hold every value of ``dtype``, the best first.

    uint64 is computed in int64, of which it takes the bits. Where an operator compares and
    selects only, small integers may be floats.
    """
    wider = _WIDER.get(dtype, ())
    return (*wider, _D.FLOAT) if op_type in _SELECTING and dtype in _SMALL else wider


def check_wraps(op_type: str, dtype: ir.DataType) -> None:
    """Keep a node that gives other bits in int64 than in uint64."""
    if dtype == _D.UINT64 and op_type not in _SAME_BITS | _ORDERING:
        raise Keep(f"{op_type} of uint64 is not {op_type} of int64 from 2^63 on")


def biased(block: Block, value: ir.Value, op_type: str, dtype: ir.DataType) -> ir.Value:
    """Move uint64 held in int64 so that its order is that of int64; the same call moves it back."""
    if dtype != _D.UINT64 or op_type not in _ORDERING:
        return value
    return block.op("Add", value, _SIGN)


def wrapped_around(block: Block, value: ir.Value, op_type: str, dtype: ir.DataType) -> ir.Value:
    """Return a result on integers taken into the range of ``dtype``, modulo 2 to its bits."""
    if not dtype.is_integer() or op_type not in _OVERFLOWING or dtype == _D.UINT64:
        return value
    modulus = 1 << int(dtype.bitwidth)
    if not dtype.is_signed():
        return block.op("Mod", value, modulus)
    half = modulus // 2
    return block.op("Sub", block.op("Mod", block.op("Add", value, half), modulus), half)
