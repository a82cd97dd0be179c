"""Convolutions, pools and what else works on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from assembly import Draft, Skip

from operators.operands import Recipe, batchnorm_inputs, family, image, weight

__all__ = ["RECIPES"]


def _conv(draft: Draft) -> None:
    value = image(draft)
    if draft.chance(0.3):
        pads = draft.ints(0, 0, *draft.rng.integers(0, 2, 2), 0, 0, *draft.rng.integers(0, 2, 2))
        value = draft.node("Pad", [value, pads])
    if draft.chance(0.2):
        value = draft.node("BatchNormalization", [value, *batchnorm_inputs(draft, 2)])
    groups = int(draft.choose((1, 1, 2)))
    kernel = [int(size) for size in draft.rng.integers(1, 3, 2)]
    weights = [weight(draft, 2, 2 // groups, *kernel)]
    if draft.chance(0.4):
        weights.append(weight(draft, 2))
    attributes: dict[str, Any] = {}
    if draft.chance(0.3):
        attributes["pads"] = [int(pad) for pad in draft.rng.integers(0, 2, 4)]
    elif draft.chance(0.2):
        attributes["auto_pad"] = draft.choose(("SAME_UPPER", "SAME_LOWER", "VALID"))
    if draft.chance(0.3):
        attributes["strides"] = [2, 1]
    value = draft.node("Conv", [value, *weights], group=groups, **attributes)
    kind = int(draft.rng.integers(5))
    if kind == 0:
        draft.node("BatchNormalization", [value, *batchnorm_inputs(draft, 2)])
    elif kind == 1:
        shape = draft.choose(((2, 1, 1), (1, 2, 1, 1), (1,), ()))
        draft.node(draft.choose(("Add", "Mul", "Sub", "Div")), [value, weight(draft, *shape)])
    elif kind == 2:
        draft.node(draft.choose(("Relu", "Sigmoid", "LeakyRelu", "Tanh", "HardSigmoid")), [value])


def _conv1d(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 2, 4))
    draft.node("Conv", [value, weight(draft, 3, 2, 2)])


def _conv_transpose(draft: Draft) -> None:
    value = image(draft)
    kernel = [int(size) for size in draft.rng.integers(1, 3, 2)]
    value = draft.node("ConvTranspose", [value, weight(draft, 2, 2, *kernel)])
    if draft.chance(0.4):
        draft.node("BatchNormalization", [value, *batchnorm_inputs(draft, 2)])


def _pool(op: str, draft: Draft) -> None:
    value = image(draft)
    if op.startswith("Global"):
        draft.node(op, [value])
        return
    attributes: dict[str, Any] = {"kernel_shape": [2, 2]}
    if draft.chance(0.4):
        attributes["pads"] = [int(pad) for pad in draft.rng.integers(0, 2, 4)]
    if draft.chance(0.4):
        attributes["strides"] = [2, 1]
    if op == "AveragePool" and draft.chance(0.4):
        attributes["count_include_pad"] = 1
    if draft.chance(0.3):
        value = draft.node("Pad", [value, draft.ints(0, 0, 1, 0, 0, 0, 0, 1)])
    draft.node(op, [value], **attributes)


def _max_unpool(draft: Draft) -> None:
    names = [draft.assembly.fresh() for _ in range(2)]
    draft.node("MaxPool", [draft.operand(np.float32, (1, 1, 4, 4))], names,
               kernel_shape=[2, 2], strides=[2, 2])  # fmt: skip
    draft.node("MaxUnpool", names, kernel_shape=[2, 2], strides=[2, 2])


def _resize(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 2, *draft.rng.integers(1, 4, 2)))
    mode = draft.choose(("nearest", "linear", "cubic"))
    where = draft.choose(("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"))
    attributes = {"mode": mode, "coordinate_transformation_mode": where}
    if draft.chance(0.5):
        scales = draft.constant([1, 1, draft.choose((1, 2)), 2], np.float32)
        draft.node("Resize", [value, "", scales], **attributes)
    else:
        draft.node("Resize", [value, "", "", draft.ints(1, 2, 4, 3)], **attributes)


def _grid_sample(draft: Draft) -> None:
    if draft.opset < 20:
        raise Skip
    grid = draft.node("Tanh", [draft.operand(np.float32, (1, 2, 2, 2))])
    draft.node("GridSample", [draft.operand(np.float32, (1, 1, 3, 3)), grid], mode="linear")


def _affine_grid(draft: Draft) -> None:
    draft.node("AffineGrid", [draft.operand(np.float32, (1, 2, 3)), draft.ints(1, 1, 2, 3)])


def _roi_align(draft: Draft) -> None:
    rois = draft.constant([[0.0, 0.0, 2.0, 2.5]], np.float32)
    value = draft.operand(np.float32, (1, 1, 4, 4))
    draft.node("RoiAlign", [value, rois, draft.ints(0)], output_height=2, output_width=2)


def _roi_pool(draft: Draft) -> None:
    rois = draft.constant([[0.0, 0.0, 0.0, 2.0, 2.0]], np.float32)
    draft.node("MaxRoiPool", [draft.operand(np.float32, (1, 1, 4, 4)), rois], pooled_shape=[2, 2])


def _suppression(draft: Draft) -> None:
    boxes = draft.constant([[[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]]], np.float32)
    scores = draft.constant([[[0.9, 0.8, 0.7]]], np.float32)
    most, overlap = draft.constant(3, np.int64), draft.constant(0.5, np.float32)
    draft.node("NonMaxSuppression", [boxes, scores, most, overlap])


def _deform(draft: Draft) -> None:
    value = draft.operand(np.float32, (1, 1, 3, 3))
    offset = draft.constant(np.full((1, 8, 2, 2), 0.25), np.float32)
    draft.node("DeformConv", [value, weight(draft, 1, 1, 2, 2), offset])


def _lrn(draft: Draft) -> None:
    draft.node("LRN", [image(draft)], size=3)


RECIPES: Mapping[str, Recipe] = {
    **family(
        _pool,
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "GlobalLpPool",
    ),
    "Resize": _resize,
    "Conv": _conv,
    "conv of rank 1": _conv1d,
    "ConvTranspose": _conv_transpose,
    "MaxUnpool": _max_unpool,
    "LRN": _lrn,
    "GridSample": _grid_sample,
    "AffineGrid": _affine_grid,
    "RoiAlign": _roi_align,
    "MaxRoiPool": _roi_pool,
    "NonMaxSuppression": _suppression,
    "DeformConv": _deform,
}
"""By name; that of a chain has a space in it or begins in lower case."""
