"""Normalizations and activations: as operators, and as the steps that exporters write."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, batchnorm_inputs, family, image, weight

__all__ = ["RECIPES"]


def _batchnorm(draft: Draft) -> None:
    value = draft.ranked(2)
    draft.node(
        "BatchNormalization", [value, *batchnorm_inputs(draft, draft.shape(value)[1])],
        epsilon=draft.choose((1e-5, 1e-3)),
    )  # fmt: skip


def _instance_norm(draft: Draft) -> None:
    draft.node("InstanceNormalization", [image(draft), weight(draft, 2), weight(draft, 2)])


def _group_norm(draft: Draft) -> None:
    if draft.opset < 21:
        raise Skip
    value = draft.operand(np.float32, (1, 4, 2, 2))
    draft.node("GroupNormalization", [value, weight(draft, 4), weight(draft, 4)], num_groups=2)


def _layer_norm(op: str, draft: Draft) -> None:
    if op == "RMSNormalization" and draft.opset < 23:
        raise Skip
    value = draft.ranked(2)
    size = draft.shape(value)[-1]
    bias = [weight(draft, size)] if op == "LayerNormalization" and draft.chance(0.5) else []
    draft.node(op, [value, weight(draft, size), *bias], axis=-1)


def _norm_steps(draft: Draft) -> None:
    value = draft.ranked(2)
    size = draft.shape(value)[-1]

    def mean(of: str) -> str:
        if draft.opset >= 18:
            return draft.node("ReduceMean", [of, draft.ints(-1)])
        return draft.node("ReduceMean", [of], axes=[-1])

    centred = value
    if draft.chance(0.7):
        centred = draft.node("Sub", [value, mean(value)])
    if draft.chance(0.5):
        square = draft.node("Mul", [centred, centred])
    else:
        square = draft.node("Pow", [centred, draft.constant(2.0, np.float32)])
    spread = draft.node("Add", [mean(square), draft.constant(1e-3, np.float32)])
    scaled = draft.node("Div", [centred, draft.node("Sqrt", [spread])])
    scaled = draft.node("Mul", [scaled, weight(draft, size)])
    if draft.chance(0.6):
        draft.node("Add", [scaled, weight(draft, size)])


def _softmax_steps(draft: Draft) -> None:
    value = draft.ranked(1)
    if draft.opset < 18:
        raise Skip
    axes = draft.ints(-1)
    if draft.chance(0.7):
        value = draft.node("Sub", [value, draft.node("ReduceMax", [value, axes])])
    grown = draft.node("Exp", [value])
    draft.node("Div", [grown, draft.node("ReduceSum", [grown, axes])])


def _gelu_steps(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    inner = draft.node("Div", [value, draft.constant(2**0.5, dtype)])
    total = draft.node("Add", [draft.node("Erf", [inner]), draft.constant(1, dtype)])
    half = draft.constant(0.5, dtype)
    if draft.chance(0.5):
        draft.node("Mul", [draft.node("Mul", [value, total]), half])
    else:
        draft.node("Mul", [value, draft.node("Mul", [total, half])])


def _gate(draft: Draft) -> None:
    value = draft.pick()
    dtype = draft.array(value).dtype
    kind = int(draft.rng.integers(4))
    if kind == 0:
        draft.node("Mul", [value, draft.node("Sigmoid", [value])])
    elif kind == 1:
        draft.node("Mul", [value, draft.node("Tanh", [draft.node("Softplus", [value])])])
    elif kind == 2:
        shifted = draft.node("Add", [value, draft.constant(3, dtype)])
        limits = [draft.constant(0, dtype), draft.constant(6, dtype)]
        clipped = draft.node("Clip", [shifted, *limits])
        share = draft.node("Div", [clipped, draft.constant(6, dtype)])
        draft.node("Mul", [value, share] if draft.chance(0.6) else [share, share])
    else:
        grown = draft.node("Add", [draft.node("Exp", [value]), draft.constant(1, dtype)])
        draft.node("Log", [grown])


RECIPES: Mapping[str, Recipe] = {
    **family(_layer_norm, "LayerNormalization", "RMSNormalization"),
    "BatchNormalization": _batchnorm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "norm steps": _norm_steps,
    "gelu steps": _gelu_steps,
    "gate": _gate,
    "softmax steps": _softmax_steps,
}
"""By name; that of a chain has a space in it or begins in lower case."""
