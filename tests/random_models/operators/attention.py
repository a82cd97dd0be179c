"""Attention and rotary embeddings: as operators, and in steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, weight

__all__ = ["RECIPES"]


def _attention(draft: Draft) -> None:
    if draft.opset < 23:
        raise Skip
    parts = [draft.operand(np.float32, (1, 2, 3, 2)) for _ in range(3)]
    draft.node("Attention", parts, is_causal=int(draft.chance(0.3)))


def _scores(draft: Draft) -> None:
    query, key, value = (draft.operand(np.float32, (1, 2, 3, 4)) for _ in range(3))
    if draft.chance(0.5):
        query = draft.node("Mul", [query, draft.constant(0.5, np.float32)])
    scores = draft.node("MatMul", [query, draft.node("Transpose", [key], perm=[0, 1, 3, 2])])
    if draft.chance(0.5):
        scores = draft.node("Div", [scores, draft.constant(2.0, np.float32)])
    if draft.chance(0.5):
        mask = draft.choose((np.zeros((3, 3)), np.triu(np.full((3, 3), -100.0), 1)))
        scores = draft.node("Add", [scores, draft.constant(mask, np.float32)])
    shares = draft.node("Softmax", [scores], axis=-1)
    mixed = draft.node("MatMul", [shares, value])
    if draft.chance(0.5):
        moved = draft.node("Transpose", [mixed], perm=[0, 2, 1, 3])
        draft.node("Reshape", [moved, draft.ints(0, 0, 8)])


def _heads(draft: Draft) -> None:
    value = draft.operand(np.float32, (draft.choose((1, 3)), 3, 4))
    parts = []
    for index in range(3):
        part = draft.node("MatMul", [value, weight(draft, 4, 4)])
        if draft.chance(0.5):
            part = draft.node("Add", [part, weight(draft, 4)])
        part = draft.node("Reshape", [part, draft.ints(0, 3, 2, 2)])
        order = [0, 2, 3, 1] if index == 1 else [0, 2, 1, 3]
        parts.append(draft.node("Transpose", [part], perm=order))
    scores = draft.node("MatMul", parts[:2])
    scores = draft.node("Mul", [scores, draft.constant(0.7, np.float32)])
    mixed = draft.node("MatMul", [draft.node("Softmax", [scores], axis=-1), parts[2]])
    moved = draft.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    draft.node("Reshape", [moved, draft.ints(0, 0, 4)])


def _rotary(draft: Draft) -> None:
    if draft.opset < 23:
        raise Skip
    value = draft.operand(np.float32, (1, 2, 3, 4))
    angles = draft.rng.standard_normal((1, 3, 2))
    turns = [draft.constant(part, np.float32) for part in (np.cos(angles), np.sin(angles))]
    draft.node("RotaryEmbedding", [value, *turns])


RECIPES: Mapping[str, Recipe] = {
    "Attention": _attention,
    "scores": _scores,
    "heads": _heads,
    "RotaryEmbedding": _rotary,
}
"""By name; that of a chain has a space in it or begins in lower case."""
