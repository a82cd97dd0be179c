"""Operators that compute each element alone, and chains of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, family, partner

__all__ = ["RECIPES"]

_FLOAT_UNARY = (
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Relu", "Erf", "Floor",
    "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh",
    "Acosh", "Atanh", "Softplus", "Softsign", "Selu", "Elu", "Celu", "LeakyRelu", "HardSwish",
    "ThresholdedRelu", "HardSigmoid", "Mish", "Gelu", "Shrink", "IsNaN", "IsInf", "Softmax",
    "LogSoftmax", "Hardmax", "Identity", "Dropout", "LpNormalization",
    "MeanVarianceNormalization", "Swish",
)  # fmt: skip
_SINCE = {"Mish": 18, "Gelu": 20, "Swish": 24}
_ATTRIBUTES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "Elu": ({}, {"alpha": 0.5}), "Celu": ({}, {"alpha": 2.0}), "LeakyRelu": ({}, {"alpha": 0.25}),
    "ThresholdedRelu": ({}, {"alpha": 0.25}), "HardSigmoid": ({}, {"alpha": 0.25, "beta": 0.5}),
    "Shrink": ({"lambd": 0.5, "bias": 0.25},), "Gelu": ({}, {"approximate": "tanh"}),
    "Swish": ({}, {"alpha": 1.5}), "Softmax": ({}, {"axis": 0}), "LogSoftmax": ({}, {"axis": 0}),
    "Hardmax": ({}, {"axis": 0}), "LpNormalization": ({"axis": -1, "p": 2}, {"axis": 0, "p": 1}),
}  # fmt: skip
_BEFORE = {
    "Log": "Sigmoid", "Sqrt": "Abs", "Reciprocal": "Exp", "Asin": "Tanh", "Acos": "Tanh",
    "Acosh": "Exp", "Atanh": "Tanh", "Exp": "Tanh",
}  # fmt: skip

_STEEP_AT_ONE = ("Asin", "Acos", "Atanh")
"""Where what is a few roundings off may come out anyhow far off."""


def _unary(op: str, draft: Draft) -> None:
    if draft.opset < _SINCE.get(op, 0):
        raise Skip
    value = draft.ranked(2) if op in ("MeanVarianceNormalization",) else draft.pick()
    if op == "MeanVarianceNormalization":
        value = draft.ranked(4)
    if op in _BEFORE and draft.chance(0.7):
        value = draft.node(_BEFORE[op], [value])
        if op in _STEEP_AT_ONE:
            value = draft.node("Mul", [value, draft.constant(0.75, np.float32)])
    if op == "Acosh":
        value = draft.node("Add", [value, draft.constant(1.5, np.float32)])
    draft.node(op, [value], **draft.choose(_ATTRIBUTES.get(op, ({},))))


def _binary(op: str, kinds: str, draft: Draft) -> None:
    value = draft.pick(kinds) if draft.values(kinds) else draft.source(np.int64, (2, 3))
    other = partner(draft, value)
    pair = [value, other] if draft.chance(0.6) else [other, value]
    if op == "Pow":
        pair = [value, draft.constant(draft.choose((2, 0.5, 1, 3, -1)), draft.array(value).dtype)]
    if op == "PRelu":
        pair = [value, other]
        if draft.array(other).ndim > draft.array(value).ndim:
            raise Skip  # the slope has to broadcast to the data, and not the other way round
    if op == "Mod" and "f" in kinds:
        draft.node(op, pair, fmod=1)
    else:
        draft.node(op, pair)


def _variadic(op: str, draft: Draft) -> None:
    value = draft.pick()
    draft.node(op, [value, *(partner(draft, value) for _ in range(int(draft.rng.integers(3))))])


def _logic(op: str, draft: Draft) -> None:
    value = draft.operand(np.bool_, draft.shape(draft.pick("fb")))
    draft.node(op, [value] if op == "Not" else [value, draft.operand(np.bool_, draft.shape(value))])


def _bitwise(op: str, draft: Draft) -> None:
    dtype = np.uint32 if op == "BitShift" else draft.choose((np.int32, np.int64, np.uint8))
    value = draft.operand(dtype, draft.shape(draft.pick("fi")))
    if op == "BitShift":
        shift = draft.constant(draft.random(np.dtype(dtype), ()))
        draft.node(op, [value, shift], direction=draft.choose(("LEFT", "RIGHT")))
        return
    draft.node(op, [value] if op == "BitwiseNot" else [value, draft.operand(dtype, ())])


def _where(draft: Draft) -> None:
    value = draft.pick("fi")
    if draft.chance(0.4):
        condition = draft.node("Less", [value, partner(draft, value)])
    else:
        condition = draft.operand(np.bool_, draft.shape(value))
    pair = [value, partner(draft, value)]
    draft.node("Where", [condition, *(pair if draft.chance(0.5) else pair[::-1])])


def _clip(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    low = draft.constant(draft.choose((0.0, -0.5, 0.0)), dtype)
    high = draft.constant(draft.choose((6.0, 1.0, 0.75)), dtype)
    draft.node("Clip", [value, *draft.choose(([low, high], [low], ["", high], []))])


def _no_op(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype in (np.float32, np.float64))
    op, item = draft.choose((("Add", 0), ("Sub", 0), ("Mul", 1), ("Div", 1), ("Pow", 1)))
    shape = draft.choose(((), (1,), (1, 1, 1, 1)))
    constant = draft.constant(np.full(shape, item), draft.array(value).dtype)
    pair = [constant, value] if op in ("Add", "Mul") and draft.chance(0.3) else [value, constant]
    draft.node(op, pair)


def _twice(draft: Draft) -> None:
    value = draft.pick()
    op = draft.choose(("Relu", "Tanh", "Neg", "Abs"))
    first = draft.node(op, [value])
    second = draft.node(op, [first if draft.chance(0.4) else value])
    if draft.chance(0.5):
        draft.node("Add", [first, second])


def _arithmetic_chain(draft: Draft) -> None:
    value = draft.pick(accept=lambda array: array.dtype in (np.float32, np.float64))
    shape, dtype = draft.shape(value), draft.array(value).dtype
    ops = draft.choose((("Add", "Sub"), ("Mul", "Div")))
    for _ in range(int(draft.rng.integers(2, 4))):
        part = draft.choose(((), shape[-1:], (1,)))
        constant = draft.constant(np.full(part, draft.choose((0.5, 1.0, 2.0, 3.0))), dtype)
        pair = [value, constant] if draft.chance(0.7) else [constant, value]
        value = draft.node(draft.choose(ops), pair)


def _computed_constant(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[-1]
    first = draft.constant(np.arange(size), np.float32)
    second = draft.constant(np.full((2, size) if draft.chance(0.2) else size, 0.5), np.float32)
    total = draft.node(draft.choose(("Add", "Mul", "Div", "Max")), [first, second])
    if draft.chance(0.5):
        total = draft.node(draft.choose(("Exp", "Tanh", "Neg", "Sqrt")), [total])
    if draft.array(value).ndim < 2 and draft.chance(0.5):
        raise Skip
    draft.node("Mul", [value, total])


RECIPES: Mapping[str, Recipe] = {
    **family(_unary, *_FLOAT_UNARY),
    **{op: partial(_binary, op, "f") for op in ("Add", "Sub", "Mul", "Div", "Pow", "PRelu")},
    **{op: partial(_binary, op, "f") for op in ("Equal", "Less", "Greater", "LessOrEqual")},
    "GreaterOrEqual": partial(_binary, "GreaterOrEqual", "fi"),
    "Mod": partial(_binary, "Mod", "f"),
    **{f"integer {op}": partial(_binary, op, "i") for op in ("Add", "Sub", "Mul", "Div", "Mod")},
    **family(_variadic, "Sum", "Mean", "Max", "Min"),
    **family(_logic, "And", "Or", "Xor", "Not"),
    **family(_bitwise, "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"),
    "Where": _where,
    "Clip": _clip,
    "arithmetic chain": _arithmetic_chain,
    "no-op": _no_op,
    "twice": _twice,
    "computed constant": _computed_constant,
}
"""By name; that of a chain has a space in it or begins in lower case."""
