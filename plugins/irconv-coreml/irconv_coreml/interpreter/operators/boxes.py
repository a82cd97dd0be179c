"""Non-maximum suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

if TYPE_CHECKING:
    from irconv_coreml.interpreter.execute import Context

__all__: list[str] = []

_IOS17 = 7


@interprets("non_maximum_suppression")
def non_maximum_suppression(
    boxes: Array,
    scores: Array,
    iou_threshold: Array,
    max_boxes: int,
    context: Context,
    score_threshold: Array | None = None,
    per_class_suppression: bool = False,
) -> tuple[Array, ...]:
    """Keep boxes in descending order of score that overlap no kept one too much.

    Before iOS 17 boxes are rows, low scores are dropped, and the number of boxes is an output.
    From iOS 17 on boxes are columns. Boxes are (x, y, width, height) around their center. With
    several classes MIL does not say which score of a box decides, so that is refused.
    """
    del per_class_suppression
    columns = context.opset >= _IOS17
    box_rows = np.swapaxes(boxes, 1, 2) if columns else boxes
    score_rows = np.swapaxes(scores, 1, 2) if columns else scores
    if score_rows.shape[2] != 1:
        raise ValueError("MIL does not say which of several scores of a box decides")
    batch, limit = len(box_rows), int(max_boxes)
    out_boxes = np.zeros((batch, limit, 4), boxes.dtype)
    out_scores = np.zeros((batch, limit, 1), scores.dtype)
    out_indices = np.full((batch, limit), -1, np.int32)
    counts = np.zeros(batch, np.int32)
    for k in range(batch):
        lowest = -np.inf if score_threshold is None else float(score_threshold)
        kept = _suppress(box_rows[k], score_rows[k, :, 0], float(iou_threshold), lowest)[:limit]
        counts[k] = len(kept)
        out_boxes[k, : len(kept)] = box_rows[k, kept]
        out_scores[k, : len(kept)] = score_rows[k, kept]
        out_indices[k, : len(kept)] = kept
    if columns:
        return np.swapaxes(out_boxes, 1, 2), np.swapaxes(out_scores, 1, 2), out_indices
    return out_boxes, out_scores, out_indices, counts


def _suppress(boxes: Array, scores: Array, threshold: float, lowest: float) -> list[int]:
    wide = boxes.astype(np.float32)
    low, high = wide[:, :2] - wide[:, 2:] / 2, wide[:, :2] + wide[:, 2:] / 2
    areas = wide[:, 2] * wide[:, 3]
    kept: list[int] = []
    for index in np.argsort(-scores.astype(np.float32), kind="stable"):
        if scores[index] < lowest:
            continue
        overlap = np.minimum(high[index], high[kept]) - np.maximum(low[index], low[kept])
        shared = np.prod(np.maximum(overlap, 0), axis=-1)
        union = areas[index] + areas[kept] - shared
        if not np.any(shared > threshold * union):
            kept.append(int(index))
    return kept
