"""Which TFLite a file needs, by the versions of its operators.

Source: TFLite's ``runtime_version.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable

from irconv_tflite.emit.graph import Subgraph
from irconv_tflite.emit.versions import version_of

__all__ = ["runtime_version"]

_OLDEST = (1, 5, 0)
_RUNTIMES = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13 2.23",
    "ARG_MAX": "1.9 1.14 2.9",
    "ARG_MIN": "1.9 1.14 2.9",
    "ATAN2": "2.10",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BITCAST": "2.13",
    "BITWISE_XOR": "2.13",
    "BROADCAST_ARGS": "2.6",
    "BROADCAST_TO": "2.5 2.5 2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17",
    "CEIL": "1.14",
    "CONCATENATION": "1.5 1.14 2.3 2.14",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9",
    "CONV_3D": "2.5",
    "CONV_3D_TRANSPOSE": "2.6",
    "COS": "1.14",
    "CUMSUM": "2.4",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13.1 1.14 1.15 2.2 2.7",
    "DIV": "1.6 2.3",
    "DYNAMIC_UPDATE_SLICE": "2.9 2.17 2.19 2.20 2.21 2.22",
    "ELU": "1.14",
    "EQUAL": "1.14 1.14 2.3 2.13 2.21",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FILL": "1.13 2.3 2.5 2.12",
    "FLOOR": "1.9",
    "FLOOR_DIV": "1.14 1.14 2.13",
    "FLOOR_MOD": "1.13 2.13",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3",
    "GATHER": "1.6 1.14 1.15 2.4 2.5",
    "GATHER_ND": "1.14 2.3 2.5 2.13 2.16",
    "GELU": "2.9 2.9",
    "GREATER": "1.14 1.14",
    "GREATER_EQUAL": "1.14 1.14 2.13",
    "HARD_SWISH": "1.15",
    "IF": "1.15",
    "LEAKY_RELU": "1.13.1 2.3",
    "LESS": "1.14 1.14 2.13",
    "LESS_EQUAL": "1.14 1.14",
    "LOCAL_RESPONSE_NORMALIZATION": "1.5",
    "LOG": "1.14 2.15",
    "LOGICAL_AND": "1.11",
    "LOGICAL_NOT": "1.11",
    "LOGICAL_OR": "1.11",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13.1 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13 2.23",
    "NEG": "1.9",
    "NON_MAX_SUPPRESSION_V4": "2.1",
    "NOT_EQUAL": "1.14 1.14 2.3 2.21",
    "PAD": "1.5 1.14 2.4 2.6 2.20",
    "PADV2": "1.9 1.14 2.4 2.6 2.20",
    "POW": "1.10",
    "QUANTIZE": "1.14 1.15 2.7",
    "RANGE": "1.13 2.14",
    "REDUCE_ALL": "2.6",
    "REDUCE_ANY": "1.11",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "REDUCE_MIN": "1.11 1.14 2.5",
    "REDUCE_PROD": "1.11 2.6",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_0_TO_1": "2.10",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13.1 1.14 2.3 2.4",
    "RIGHT_SHIFT": "2.13",
    "ROUND": "1.14",
    "RSQRT": "1.10 2.5 2.15",
    "SCATTER_ND": "2.1",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SIGN": "2.11 2.12",
    "SIN": "1.9",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14",
    "SOFTMAX": "1.5 1.14 2.3",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13.1 2.3",
    "SQRT": "1.10 2.21",
    "SQUARED_DIFFERENCE": "1.13.1 2.5",
    "SQUEEZE": "1.6",
    "STABLEHLO_AND": "2.17",
    "STABLEHLO_SHIFT_LEFT": "2.17",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10.1 2.2 2.8",
    "TOPK_V2": "1.7 1.14 2.13",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14.4 2.22",
    "TRANSPOSE_CONV": "1.9 2.2 2.3",
    "UNIQUE": "1.14",
    "UNSORTED_SEGMENT_MAX": "2.10",
    "UNSORTED_SEGMENT_MIN": "2.11",
    "UNSORTED_SEGMENT_PROD": "2.10",
    "UNSORTED_SEGMENT_SUM": "2.10",
    "WHERE": "1.14 2.8",
    "WHILE": "1.15",
    "ZEROS_LIKE": "1.12",
}
"""The TFLite that first has each version of an operator, from version 1 on."""


def runtime_version(subgraphs: Iterable[Subgraph]) -> str:
    """Return the lowest TFLite that has every operator of a model, such as ``2.12.0``."""
    found = max(
        (
            _runtime(operator.code, version_of(operator))
            for subgraph in subgraphs
            for operator in subgraph.operators
        ),
        default=_OLDEST,
    )
    return ".".join(map(str, found))


def _runtime(code: str, version: int) -> tuple[int, int, int]:
    text = _RUNTIMES[code].split()[version - 1]
    major, minor, patch = (*map(int, text.split(".")), 0)[:3]
    return major, minor, patch
