"""Products of matrices, and recurrent operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft

from operators.operands import Recipe, family, weight

__all__ = ["RECIPES"]


def _matmul(draft: Draft) -> None:
    value = draft.ranked(1)
    columns = draft.shape(value)[-1]
    if draft.chance(0.3):
        draft.node("MatMul", [value, draft.operand(np.float32, (columns, 2))])
        return
    size = int(draft.rng.integers(1, 4))
    for _ in range(1 + int(draft.chance(0.3))):
        matrix = weight(draft, columns, size)
        if draft.chance(0.3):
            matrix = draft.node("Transpose", [weight(draft, size, columns)], perm=[1, 0])
        value, columns = draft.node("MatMul", [value, matrix]), size
        if draft.chance(0.5):
            value = draft.node("Add", [value, weight(draft, size)])
        if draft.chance(0.3):
            value = draft.node(draft.choose(("Mul", "Div")), [value, draft.constant(2, np.float32)])


def _parallel_matmuls(draft: Draft) -> None:
    value = draft.ranked(2)
    columns = draft.shape(value)[-1]
    biased = draft.chance(0.5)
    for _ in range(int(draft.rng.integers(2, 4))):
        size = int(draft.choose((2, 2, 4)))
        part = draft.node("MatMul", [value, weight(draft, columns, size)])
        if biased:
            part = draft.node("Add", [part, weight(draft, size)])
        if draft.chance(0.3):
            draft.node(draft.choose(("Relu", "Neg")), [part])


def _tied(draft: Draft) -> None:
    value = draft.ranked(2)
    table = weight(draft, draft.shape(value)[-1], 2)
    product = draft.node("MatMul", [value, table])
    draft.node("MatMul", [product, draft.node("Transpose", [table], perm=[1, 0])])


def _gemm(draft: Draft) -> None:
    value = draft.ranked(2, most=2)
    flip_a, flip_b = int(draft.chance(0.2)), int(draft.chance(0.5))
    inner = draft.shape(value)[0 if flip_a else 1]
    matrix = weight(draft, *((2, inner) if flip_b else (inner, 2)))
    bias = [draft.choose((weight(draft, 2), weight(draft, 1), weight(draft)))]
    draft.node(
        "Gemm", [value, matrix, *(bias if draft.chance(0.7) else [])], transA=flip_a,
        transB=flip_b, alpha=draft.choose((1.0, 0.5)), beta=draft.choose((1.0, 2.0)),
    )  # fmt: skip


def _einsum(draft: Draft) -> None:
    left = draft.operand(np.float32, (2, 3, 2))
    right = draft.operand(np.float32, (2, 2, 3))
    equation = draft.choose(("bij,bjk->bik", "bij,bkj->bik", "bij,cjk->bcik"))
    if equation == "bij,bkj->bik":
        right = draft.operand(np.float32, (2, 3, 2))
    draft.node("Einsum", [left, right], equation=equation)


def _det(draft: Draft) -> None:
    draft.node("Det", [draft.operand(np.float32, (2, 2, 2))])


def _recurrent(op: str, draft: Draft) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    value = draft.operand(np.float32, (3, 1, 2))
    weights = [weight(draft, 1, gates * 2, 2), weight(draft, 1, gates * 2, 2)]
    if draft.chance(0.5):
        weights.append(weight(draft, 1, 2 * gates * 2))
    draft.node(op, [value, *weights], 3 if op == "LSTM" else 2, hidden_size=2)


RECIPES: Mapping[str, Recipe] = {
    **family(_recurrent, "RNN", "GRU", "LSTM"),
    "MatMul": _matmul,
    "parallel matmuls": _parallel_matmuls,
    "tied": _tied,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Det": _det,
}
"""By name; that of a chain has a space in it or begins in lower case."""
