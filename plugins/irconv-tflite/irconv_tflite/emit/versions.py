"""Which version of an operator a file asks for.

A reader refuses a version that it does not know, so each operator is written as the lowest
version that has the dtypes, ranks and options used. Source: the history of the kernels'
abilities in TFLite's ``op_version.cc``.
"""

from __future__ import annotations

from irconv_tflite.emit.graph import Operator, Tensor

__all__ = ["version_of"]

_INTEGERS = {"int8": 2, "int16": 3}
_BYTES = {"int8": 2}
_DTYPES: dict[str, dict[str, int]] = {
    "ABS": {"int8": 2, "uint8": 2, "int16": 4, "int32": 5},
    "ADD": {"int8": 2, "int16": 5, "int64": 4, "float16": 6},
    "ARG_MAX": {"int8": 2, "bool": 3},
    "ARG_MIN": {"int8": 2, "bool": 3},
    "AVERAGE_POOL_2D": _INTEGERS,
    "BATCH_MATMUL": _INTEGERS,
    "BROADCAST_TO": {"int8": 3, "int16": 3},
    "CAST": {
        "int8": 3, "uint16": 4, "uint32": 2, "float16": 5, "float64": 5, "bfloat16": 7,
    },
    "CONCATENATION": {**_INTEGERS, "uint32": 4},
    "CONV_2D": {"int8": 3, "int16": 4},
    "DEPTHWISE_CONV_2D": {"int8": 3, "int16": 5},
    "DEPTH_TO_SPACE": _BYTES,
    "DEQUANTIZE": {"int8": 2, "int16": 3, "float16": 3},
    "DYNAMIC_UPDATE_SLICE": {"float16": 3, "int16": 4, "bfloat16": 6},
    "EQUAL": {"int8": 2, "int16": 5},
    "EXP": {"int8": 2, "int16": 2},
    "FILL": {"bool": 2, "int8": 3, "int16": 3, "float16": 4},
    "FLOOR_DIV": {"float32": 2, "int8": 3, "int16": 3},
    "FLOOR_MOD": {"int8": 2, "int16": 2},
    "FULLY_CONNECTED": {"int8": 4, "int16": 7},
    "GATHER": {"int8": 2, "bool": 3, "int16": 4},
    "GATHER_ND": {"int16": 3, "bool": 5},
    "GELU": {"int8": 2, "uint8": 2},
    "GREATER": _BYTES,
    "GREATER_EQUAL": _INTEGERS,
    "LEAKY_RELU": {"int16": 2},
    "LESS": _INTEGERS,
    "LESS_EQUAL": _BYTES,
    "LOG": {"int8": 2, "int16": 2},
    "LOGISTIC": _INTEGERS,
    "LOG_SOFTMAX": _BYTES,
    "MAXIMUM": {"int8": 2, "int16": 4},
    "MAX_POOL_2D": _INTEGERS,
    "MEAN": _INTEGERS,
    "MINIMUM": {"int8": 2, "int16": 4},
    "MIRROR_PAD": _INTEGERS,
    "MUL": {"int8": 2, "int16": 7, "int64": 5, "uint32": 7, "float16": 8},
    "NOT_EQUAL": {"int8": 2, "int16": 4},
    "PACK": {**_INTEGERS, "uint32": 4},
    "PAD": {**_INTEGERS, "bool": 5},
    "PADV2": {**_INTEGERS, "bool": 5},
    "RANGE": {"int64": 2},
    "REDUCE_MAX": _INTEGERS,
    "REDUCE_MIN": _INTEGERS,
    "REDUCE_PROD": {"int8": 2, "int16": 2},
    "RELU": {"int8": 2, "uint8": 2, "int16": 3},
    "RELU6": _INTEGERS,
    "RESIZE_BILINEAR": {"int8": 2, "int16": 4},
    "RESIZE_NEAREST_NEIGHBOR": {"int8": 2, "int16": 4},
    "REVERSE_V2": {"bool": 2, "int8": 3},
    "RSQRT": _INTEGERS,
    "SELECT_V2": {"uint32": 2},
    "SIGN": {"int32": 2},
    "SLICE": {"int8": 2, "int16": 4, "uint32": 6},
    "SOFTMAX": _INTEGERS,
    "SPACE_TO_DEPTH": _BYTES,
    "SPLIT": {"int8": 2, "int16": 4, "int32": 3},
    "SPLIT_V": _BYTES,
    "SQRT": {"int8": 2, "int16": 2},
    "SQUARED_DIFFERENCE": _BYTES,
    "STRIDED_SLICE": {"int8": 2, "bool": 3, "uint32": 7},
    "SUB": {"int8": 2, "int64": 4},
    "SUM": _BYTES,
    "TANH": _INTEGERS,
    "TILE": {"int8": 3},
    "TOPK_V2": _INTEGERS,
    "TRANSPOSE": {"int8": 2, "bool": 3, "int16": 5, "bfloat16": 8},
    "TRANSPOSE_CONV": {"int8": 2},
    "UNPACK": {"int8": 2, "uint8": 2, "bool": 3, "int16": 4, "float16": 5, "bfloat16": 5},
}  # fmt: skip
"""The version that has a kernel for a dtype; 1 where none is named."""

_QUANTIZED_16 = {"ABS": 3, "ADD": 3, "MUL": 4, "SUB": 5}
"""Operators whose kernel for quantized int16 is another than the one for plain integers."""
_DATA_OPERAND = {"FILL": 1, "SELECT_V2": 1, "SPLIT": 1, "TRANSPOSE_CONV": 2}
"""Where the operand stands whose dtype counts; the first unless it is named."""
_HIGH_RANKS: dict[str, tuple[tuple[int, int], ...]] = {
    "PAD": ((4, 4),),
    "PADV2": ((4, 4),),
    "SLICE": ((4, 5),),
    "STRIDED_SLICE": ((4, 4),),
    "TRANSPOSE": ((4, 4), (5, 6), (6, 8)),
}
"""Ranks above which an operator needs a version."""
_BROADCAST_ABOVE_4 = {"DIV": 2, "MAXIMUM": 3, "MINIMUM": 3, "SUB": 3}
_LOWEST = {"BROADCAST_TO": 2}
_ALIGNED = 3
_BIASED_TRANSPOSE_CONV = 3
_DILATED_DEPTHWISE = 2
_GROUPED = 6
_KEEPS_DIMS = 5
_PER_CHANNEL = {"DEQUANTIZE": 5, "QUANTIZE": 3}
_TO_INT16 = 2
_OF_NUMBERS = 2
_MOST_BEFORE_BROADCAST = 4


def version_of(operator: Operator) -> int:
    """Return the lowest version that has what an operator uses."""
    code = operator.code
    present = [tensor for tensor in operator.inputs if tensor is not None]
    if not present:
        return 1
    data = present[min(_DATA_OPERAND.get(code, 0), len(present) - 1)]
    dtypes = _DTYPES.get(code, {})
    version = max(_LOWEST.get(code, 1), dtypes.get(data.dtype, 1))
    if data.dtype == "int16" and data.quantization is not None:
        version = _QUANTIZED_16.get(code, version)
    if code == "CAST":
        version = max(version, dtypes.get(operator.outputs[0].dtype, 1))
    for rank, needed in _HIGH_RANKS.get(code, ()):
        if _rank(data) > rank:
            version = max(version, needed)
    if code in _BROADCAST_ABOVE_4 and _broadcasts_far(present):
        version = max(version, _BROADCAST_ABOVE_4[code])
    return max(version, _by_options(operator, present))


def _by_options(operator: Operator, present: list[Tensor]) -> int:
    """Return the version that the options ask for, or what else is special to an operator."""
    code, options = operator.code, operator.options
    first, result = present[0], operator.outputs[0]
    if code == "CONV_2D" and _is_grouped(operator):
        return _GROUPED
    if code == "DEPTHWISE_CONV_2D" and _dilates(operator):
        return _DILATED_DEPTHWISE
    if code == "FULLY_CONNECTED" and options.get("keepNumDims"):
        return _KEEPS_DIMS
    if code.startswith("RESIZE") and _centres(operator):
        return _ALIGNED
    if code == "TRANSPOSE_CONV" and len(present) > _BIASED_TRANSPOSE_CONV:
        return _BIASED_TRANSPOSE_CONV
    if code == "WHERE" and first.dtype != "bool":
        return _OF_NUMBERS
    if code in _PER_CHANNEL and _is_per_channel(first, result):
        return _PER_CHANNEL[code]
    if code == "QUANTIZE" and result.dtype == "int16":
        return _TO_INT16
    return 1


def _rank(tensor: Tensor) -> int:
    return len(tensor.shape or ())


def _broadcasts_far(present: list[Tensor]) -> bool:
    shapes = {tensor.shape for tensor in present}
    return len(shapes) > 1 and max(map(_rank, present)) > _MOST_BEFORE_BROADCAST


def _is_grouped(operator: Operator) -> bool:
    x, filters = operator.inputs[:2]
    assert x is not None
    assert filters is not None
    return bool(x.shape and filters.shape and x.shape[-1] != filters.shape[-1])


def _dilates(operator: Operator) -> bool:
    return any(operator.options.get(f"dilation{axis}Factor", 1) != 1 for axis in "HW")


def _centres(operator: Operator) -> bool:
    aligned = operator.code == "RESIZE_NEAREST_NEIGHBOR" and operator.options.get("alignCorners")
    return bool(aligned or operator.options.get("halfPixelCenters"))


def _is_per_channel(*tensors: Tensor) -> bool:
    return any(tensor.quantization and len(tensor.quantization.scales) > 1 for tensor in tensors)
