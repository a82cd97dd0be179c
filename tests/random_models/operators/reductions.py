"""Operators that sum up, choose or count elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, family, some_axes

__all__ = ["RECIPES"]


def _reduce(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axes = some_axes(draft, draft.array(value).ndim)
    if op in ("ReduceLogSum", "ReduceLogSumExp", "ReduceProd") and draft.chance(0.7):
        value = draft.node("Sigmoid", [value])
    keep = int(draft.chance(0.5))
    everything = draft.chance(0.2)
    if op == "ReduceSum" or draft.opset >= 18:
        extra = [] if everything else [draft.ints(*axes)]
        draft.node(op, [value, *extra], keepdims=keep)
    else:
        draft.node(op, [value], keepdims=keep, **({} if everything else {"axes": axes}))


def _arg(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axis = int(draft.rng.integers(draft.array(value).ndim))
    draft.node(op, [value], axis=axis, keepdims=int(draft.chance(0.5)))


def _cumulative(op: str, draft: Draft) -> None:
    value = draft.ranked(1)
    axis = int(draft.rng.integers(draft.array(value).ndim))
    flags = {"exclusive": int(draft.chance(0.3)), "reverse": int(draft.chance(0.3))}
    draft.node(op, [value, draft.constant(axis, np.int64)], **flags)


def _top_k(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[-1]
    if not size:
        raise Skip
    draft.node("TopK", [value, draft.ints(int(draft.rng.integers(1, size + 1)))], 2)


def _unique(draft: Draft) -> None:
    draft.node("Unique", [draft.constant([2, 1, 1, 3], np.int64)], 4)


def _non_zero(draft: Draft) -> None:
    draft.node("NonZero", [draft.operand(np.bool_, (3,))])


def _compress(draft: Draft) -> None:
    value = draft.ranked(1)
    size = draft.shape(value)[0]
    draft.node("Compress", [value, draft.operand(np.bool_, (size,))], axis=0)


def _loss(op: str, draft: Draft) -> None:
    value = draft.node("LogSoftmax", [draft.operand(np.float32, (3, 2))], axis=1)
    target = draft.constant(draft.rng.integers(0, 2, 3), np.int64)
    draft.node(op, [value, target], reduction=draft.choose(("mean", "sum", "none")))


RECIPES: Mapping[str, Recipe] = {
    **family(
        _reduce,
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceSumSquare",
    ),
    **family(_arg, "ArgMax", "ArgMin"),
    **family(_cumulative, "CumSum"),
    **family(_loss, "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
    "TopK": _top_k,
    "NonZero": _non_zero,
    "Compress": _compress,
    "Unique": _unique,
}
"""By name; that of a chain has a space in it or begins in lower case."""
