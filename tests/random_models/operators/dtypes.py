"""Casts, and operators on quantized numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft
from onnx import TensorProto

from operators.operands import Recipe

__all__ = ["RECIPES"]


def _cast(draft: Draft) -> None:
    value = draft.pick("fib")
    types = (
        TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16,
        TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL,
    )  # fmt: skip
    for _ in range(int(draft.rng.integers(1, 4))):
        value = draft.node("Cast", [value], to=draft.choose(types))
    if draft.chance(0.6):
        draft.node("Cast", [value], to=TensorProto.FLOAT)


def _cast_like(draft: Draft) -> None:
    draft.node("CastLike", [draft.pick("fib"), draft.pick("fi")])


def _quantize(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype == np.float32)
    scale = draft.constant(draft.choose((0.25, 0.5)), np.float32)
    zero = draft.constant(draft.choose((0, 3)), draft.choose((np.uint8, np.int8)))
    coded = draft.node("QuantizeLinear", [value, scale, zero])
    if draft.chance(0.8):
        draft.node("DequantizeLinear", [coded, scale, zero])


def _dequantized_weight(draft: Draft) -> None:
    value = draft.ranked(2)
    rows = draft.shape(value)[-1]
    coded = draft.constant(draft.rng.integers(-8, 8, (rows, 3)), np.int8)
    scale = draft.constant([0.25, 0.5, 0.125], np.float32)
    weight = draft.node("DequantizeLinear", [coded, scale], axis=1)
    draft.node("MatMul", [value, weight])


def _dynamic_quantize(draft: Draft) -> None:
    draft.node("DynamicQuantizeLinear", [draft.ranked(1)], 3)


def _matmul_integer(draft: Draft) -> None:
    left, right = draft.operand(np.uint8, (2, 3)), draft.operand(np.uint8, (3, 2))
    draft.node("MatMulInteger", [left, right])


def _conv_integer(draft: Draft) -> None:
    left, right = draft.operand(np.uint8, (1, 1, 3, 3)), draft.operand(np.uint8, (1, 1, 2, 2))
    draft.node("ConvInteger", [left, right])


def _quantized_matmul(draft: Draft) -> None:
    scale, zero = draft.constant(0.5, np.float32), draft.constant(1, np.uint8)
    left, right = draft.operand(np.uint8, (2, 3)), draft.operand(np.uint8, (3, 2))
    draft.node("QLinearMatMul", [left, scale, zero, right, scale, zero, scale, zero])


RECIPES: Mapping[str, Recipe] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "QuantizeLinear": _quantize,
    "dequantized weight": _dequantized_weight,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "MatMulInteger": _matmul_integer,
    "ConvInteger": _conv_integer,
    "QLinearMatMul": _quantized_matmul,
}
"""By name; that of a chain has a space in it or begins in lower case."""
