"""Which options table each builtin operator carries."""

from __future__ import annotations

__all__ = ["options_class"]

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
    "UNIQUE": "Unique", "UNPACK": "Unpack", "UNSORTED_SEGMENT_MAX": "UnsortedSegmentMax",
    "UNSORTED_SEGMENT_MIN": "UnsortedSegmentMin", "UNSORTED_SEGMENT_PROD": "UnsortedSegmentProd",
    "UNSORTED_SEGMENT_SUM": "UnsortedSegmentSum", "WHERE": "Where", "WHILE": "While",
    "ZEROS_LIKE": "ZerosLike",
}  # fmt: skip


def options_class(code: str) -> str:
    """Return the schema's name of the operator's options table; empty where it has none."""
    name = _OPTIONS.get(code)
    return f"{name}Options" if name else ""
