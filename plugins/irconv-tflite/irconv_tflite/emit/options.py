"""Which options table each builtin operator carries, and which version it is written as."""

from __future__ import annotations

from irconv_tflite.emit.graph import Operator

__all__ = ["options_class", "version_of"]

_OPTIONS = {
    "ADD": "Add", "ADD_N": "AddN", "ARG_MAX": "ArgMax", "ARG_MIN": "ArgMin", "ATAN2": "ATan2",
    "AVERAGE_POOL_2D": "Pool2D", "BATCH_MATMUL": "BatchMatMul", "BITCAST": "Bitcast",
    "BATCH_TO_SPACE_ND": "BatchToSpaceND", "BITWISE_XOR": "BitwiseXor",
    "BROADCAST_TO": "BroadcastTo", "CAST": "Cast", "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D", "CONV_3D": "Conv3D", "CONV_3D_TRANSPOSE": "Conv3D", "CUMSUM": "Cumsum",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "DEPTH_TO_SPACE": "DepthToSpace",
    "DEQUANTIZE": "Dequantize", "DIV": "Div", "DYNAMIC_UPDATE_SLICE": "DynamicUpdateSlice",
    "EQUAL": "Equal", "EXP": "Exp", "EXPAND_DIMS": "ExpandDims", "FILL": "Fill",
    "FLOOR_DIV": "FloorDiv", "FLOOR_MOD": "FloorMod", "FULLY_CONNECTED": "FullyConnected",
    "GATHER": "Gather", "GATHER_ND": "GatherNd", "GELU": "Gelu", "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterEqual", "HARD_SWISH": "HardSwish", "IF": "If",
    "L2_NORMALIZATION": "L2Norm", "LEAKY_RELU": "LeakyRelu", "LESS": "Less",
    "LESS_EQUAL": "LessEqual", "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalization",
    "LOGICAL_AND": "LogicalAnd", "LOGICAL_NOT": "LogicalNot", "LOGICAL_OR": "LogicalOr",
    "LOG_SOFTMAX": "LogSoftmax", "MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum",
    "MAX_POOL_2D": "Pool2D", "MEAN": "Reducer", "MIRROR_PAD": "MirrorPad", "MUL": "Mul",
    "NEG": "Neg", "NON_MAX_SUPPRESSION_V4": "NonMaxSuppressionV4",
    "NON_MAX_SUPPRESSION_V5": "NonMaxSuppressionV5", "NOT_EQUAL": "NotEqual", "ONE_HOT": "OneHot",
    "PACK": "Pack", "PAD": "Pad", "PADV2": "PadV2", "POW": "Pow", "QUANTIZE": "Quantize",
    "RANGE": "Range", "RANK": "Rank", "REDUCE_ALL": "Reducer", "REDUCE_ANY": "Reducer",
    "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "REDUCE_PROD": "Reducer",
    "RESHAPE": "Reshape", "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor", "REVERSE_SEQUENCE": "ReverseSequence",
    "REVERSE_V2": "ReverseV2", "RIGHT_SHIFT": "RightShift", "SCATTER_ND": "ScatterNd",
    "SELECT": "Select", "SELECT_V2": "SelectV2", "SHAPE": "Shape", "SIGN": "Sign",
    "SLICE": "Slice", "SOFTMAX": "Softmax", "SPACE_TO_BATCH_ND": "SpaceToBatchND",
    "SPACE_TO_DEPTH": "SpaceToDepth", "SPLIT": "Split", "SPLIT_V": "SplitV", "SQUARE": "Square",
    "SQUARED_DIFFERENCE": "SquaredDifference", "SQUEEZE": "Squeeze",
    "STABLEHLO_SHIFT_LEFT": "StablehloShiftLeft", "STRIDED_SLICE": "StridedSlice", "SUB": "Sub",
    "SUM": "Reducer", "TILE": "Tile", "TOPK_V2": "TopKV2", "TRANSPOSE": "Transpose",
    "TRANSPOSE_CONV": "TransposeConv",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM", "UNIQUE": "Unique",
    "UNPACK": "Unpack", "UNSORTED_SEGMENT_MAX": "UnsortedSegmentMax",
    "UNSORTED_SEGMENT_MIN": "UnsortedSegmentMin", "UNSORTED_SEGMENT_PROD": "UnsortedSegmentProd",
    "UNSORTED_SEGMENT_SUM": "UnsortedSegmentSum", "WHERE": "Where", "WHILE": "While",
    "ZEROS_LIKE": "ZerosLike",
}  # fmt: skip


def options_class(code: str) -> str:
    """Return the schema's name of the operator's options table; empty where it has none."""
    name = _OPTIONS.get(code)
    return f"{name}Options" if name else ""


_QUANTIZED_16 = {
    "ADD": 3, "AVERAGE_POOL_2D": 3, "BATCH_MATMUL": 4, "CONCATENATION": 3, "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 7, "LEAKY_RELU": 2, "LOGISTIC": 3, "MAXIMUM": 4,
    "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MUL": 4, "PAD": 3, "PADV2": 3, "RELU": 3,
    "RELU6": 3, "RESIZE_BILINEAR": 4, "SLICE": 4, "SOFTMAX": 3, "SPLIT": 4, "STRIDED_SLICE": 4,
    "SUB": 5, "SUM": 3, "TANH": 3, "TRANSPOSE": 4, "TRANSPOSE_CONV": 3, "DEQUANTIZE": 3,
    "QUANTIZE": 2, "GATHER": 4, "REDUCE_MAX": 3, "PRELU": 1, "RESHAPE": 1,
}  # fmt: skip
_QUANTIZED_8 = {
    "ADD": 2, "ARG_MAX": 2, "AVERAGE_POOL_2D": 2, "BATCH_MATMUL": 2, "CONCATENATION": 2,
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "DEQUANTIZE": 2, "EQUAL": 2, "FULLY_CONNECTED": 5,
    "GATHER": 2, "GREATER": 2, "LEAKY_RELU": 2, "LESS": 2, "LOGISTIC": 2, "MAXIMUM": 2,
    "MAX_POOL_2D": 2, "MEAN": 2, "MINIMUM": 2, "MUL": 2, "NOT_EQUAL": 2, "PAD": 2, "PADV2": 2,
    "QUANTIZE": 1, "RELU": 2, "RELU6": 2, "RESIZE_BILINEAR": 2, "RESIZE_NEAREST_NEIGHBOR": 2,
    "SLICE": 2, "SOFTMAX": 2, "SPACE_TO_DEPTH": 2, "SPLIT": 2, "STRIDED_SLICE": 2, "SUB": 3,
    "SUM": 2, "TANH": 2, "TOPK_V2": 2, "TRANSPOSE": 2, "TRANSPOSE_CONV": 2, "REDUCE_MAX": 2,
}  # fmt: skip
_PLAIN = {"CONV_3D": 1, "FILL": 3, "BROADCAST_TO": 2, "RESIZE_BILINEAR": 3, "DEQUANTIZE": 3}
_RANK_OVER_4 = {"TRANSPOSE": 5, "SLICE": 5, "STRIDED_SLICE": 5}
_KEEPS_DIMS = 5


def version_of(operator: Operator) -> int:
    """Return the version of an operator by the dtypes, ranks and options that it uses.

    Readers refuse versions that they do not know; the numbers follow the history of the kernels'
    abilities in TFLite's ``op_version.cc``.
    """
    code = operator.code
    present = [tensor for tensor in operator.inputs if tensor is not None]
    dtype = present[0].dtype if present else ""
    quantized = any(tensor.quantization for tensor in present)
    version = _PLAIN.get(code, 1)
    if dtype == "int16" and quantized:
        version = max(version, _QUANTIZED_16.get(code, 1))
    elif dtype in ("int8", "uint8"):
        version = max(version, _QUANTIZED_8.get(code, 1))
    if code == "FULLY_CONNECTED" and operator.options.get("keepNumDims"):
        version = max(version, _KEEPS_DIMS)
    if code == "TRANSPOSE_CONV" and len(present) > 3:
        version = max(version, 3)
    return version
