"""Operators that join, take, move and place parts of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, family

__all__ = ["RECIPES"]


def _concat(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(-array.ndim, array.ndim))
    parts = [value]
    for _ in range(int(draft.rng.integers(0, 3))):
        shape = list(array.shape)
        shape[axis] = int(draft.rng.integers(0 if draft.chance(0.1) else 1, 4))
        parts.insert(int(draft.chance(0.5)), draft.operand(array.dtype, shape))
    joined = draft.node("Concat", parts, axis=axis)
    if draft.chance(0.3):
        draft.node("Concat", [joined, value], axis=axis)


def _split(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(array.ndim))
    size = array.shape[axis]
    first = int(draft.rng.integers(0, size + 1))
    if draft.opset >= 18 and size >= 2 and draft.chance(0.5):
        draft.node("Split", [value], 2, axis=axis, num_outputs=2)
        return
    names = [draft.assembly.fresh() for _ in range(2)]
    draft.node("Split", [value, draft.ints(first, size - first)], names, axis=axis)
    if draft.chance(0.5):
        draft.node("Concat", names if draft.chance(0.6) else names[::-1], axis=axis)


def _bounds(draft: Draft, size: int) -> tuple[int, int, int]:
    start, end = (int(item) for item in draft.rng.integers(-size - 1, size + 2, 2))
    if draft.chance(0.3):
        end = 2**63 - 1
    step = int(draft.choose((1, 1, 1, 2, -1)))
    return (end % 100, start, step) if step < 0 else (start, end, step)


def _slice(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    for _ in range(1 + int(draft.chance(0.4))):
        axis = int(draft.rng.integers(draft.array(value).ndim if value in draft.assembly.known
                                      or value in draft.given else 1))  # fmt: skip
        size = draft.shape(value)[axis] if value in draft.assembly.known else 3
        start, end, step = _bounds(draft, size)
        inputs = [value, draft.ints(start), draft.ints(end), draft.ints(axis)]
        if step != 1 or draft.chance(0.3):
            inputs.append(draft.ints(step))
        value = draft.node("Slice", inputs)


def _pad(draft: Draft) -> None:
    value = draft.ranked(1)
    rank = draft.array(value).ndim
    low = -1 if draft.chance(0.2) else 0
    pads = draft.ints(*(int(pad) for pad in draft.rng.integers(low, 2, 2 * rank)))
    mode = draft.choose(("constant", "constant", "edge", "reflect"))
    extra = [draft.constant(0.5, np.float32)] if mode == "constant" and draft.chance(0.4) else []
    draft.node("Pad", [value, pads, *extra], mode=mode)


def _gather(draft: Draft) -> None:
    value = draft.ranked(1, "fi")
    array = draft.array(value)
    axis = int(draft.rng.integers(array.ndim))
    if not array.shape[axis]:
        raise Skip
    shape = draft.choose(((), (1,), (2,), (2, 2)))
    low = -array.shape[axis]
    indices = draft.rng.integers(low, array.shape[axis], shape)
    draft.node("Gather", [value, draft.constant(indices, np.int64)], axis=axis)


def _gather_elements(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    axis = int(draft.rng.integers(len(shape)))
    indices = draft.constant(draft.rng.integers(0, max(shape[axis], 1), shape), np.int64)
    draft.node("GatherElements", [value, indices], axis=axis)


def _gather_nd(draft: Draft) -> None:
    value = draft.ranked(2)
    shape = draft.shape(value)
    rows = [[int(draft.rng.integers(0, max(size, 1))) for size in shape[:2]] for _ in range(2)]
    draft.node("GatherND", [value, draft.constant(rows, np.int64)])


def _scatter_elements(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    indices = draft.constant(np.zeros((1,) * len(shape)), np.int64)
    updates = draft.operand(draft.array(value).dtype, (1,) * len(shape))
    draft.node("ScatterElements", [value, indices, updates])


def _scatter_nd(draft: Draft) -> None:
    value = draft.ranked(1)
    shape = draft.shape(value)
    updates = draft.operand(draft.array(value).dtype, (1, *shape[1:]))
    draft.node("ScatterND", [value, draft.constant([[0]], np.int64), updates])


def _tensor_scatter(draft: Draft) -> None:
    if draft.opset < 24:
        raise Skip
    cache = draft.operand(np.float32, (1, 2, 4, 2))
    update = draft.operand(np.float32, (1, 2, 1, 2))
    draft.node("TensorScatter", [cache, update, draft.ints(1)])


def _depth(op: str, draft: Draft) -> None:
    shape = (1, 4, 2, 2) if op == "DepthToSpace" else (1, 2, 2, 4)
    draft.node(op, [draft.operand(np.float32, shape)], blocksize=2)


def _reverse_sequence(draft: Draft) -> None:
    value = draft.ranked(2)
    time, batch = draft.shape(value)[:2]
    draft.node("ReverseSequence", [value, draft.constant(np.full(batch, time), np.int64)])


def _trilu(draft: Draft) -> None:
    extra = [draft.constant(draft.choose((0, 1, -1)), np.int64)] if draft.chance(0.5) else []
    draft.node("Trilu", [draft.ranked(2), *extra], upper=int(draft.chance(0.5)))


def _eye_like(draft: Draft) -> None:
    draft.node("EyeLike", [draft.ranked(2, most=2)], k=int(draft.rng.integers(-1, 2)))


def _one_hot(draft: Draft) -> None:
    indices = draft.constant(draft.rng.integers(0, 3, (2,)), np.int64)
    values = draft.constant([0.0, 1.0], np.float32)
    draft.node("OneHot", [indices, draft.constant(3, np.int64), values])


def _center_crop_pad(draft: Draft) -> None:
    value = draft.ranked(1)
    rank = draft.array(value).ndim
    draft.node("CenterCropPad", [value, draft.ints(*draft.rng.integers(1, 5, rank))])


def _col2im(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 4, 4))
    draft.node("Col2Im", [value, draft.ints(3, 3), draft.ints(2, 2)])


RECIPES: Mapping[str, Recipe] = {
    **family(_depth, "DepthToSpace", "SpaceToDepth"),
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "ReverseSequence": _reverse_sequence,
    "Trilu": _trilu,
    "EyeLike": _eye_like,
    "OneHot": _one_hot,
    "CenterCropPad": _center_crop_pad,
    "Col2Im": _col2im,
    "TensorScatter": _tensor_scatter,
}
"""By name; that of a chain has a space in it or begins in lower case."""
