"""Operators of object detection (ONNX sections NonMaxSuppression, RoiAlign)."""

import math

import torch
from torch import Tensor

__all__ = ["non_max_suppression", "roi_align"]


def _corners(boxes: Tensor, centered: bool) -> Tensor:
    if centered:
        half = boxes[:, 2:] / 2.0
        return torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], 1)
    return torch.cat(
        [torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])], 1
    )


def _overlaps(box: Tensor, others: Tensor) -> Tensor:
    """Return intersection over union of one box with others."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    common = torch.prod(torch.clamp(high - low, min=0), 1)
    area = torch.prod(box[2:] - box[:2])
    areas = torch.prod(others[:, 2:] - others[:, :2], 1)
    union = area + areas - common
    return torch.where(union > 0, common / union, torch.zeros_like(common))


def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    most: int,
    overlap: Tensor,
    threshold: Tensor | None,
    centered: bool,
) -> Tensor:
    """Section NonMaxSuppression."""
    limit = float(overlap.item())
    rows: list[Tensor] = [torch.zeros([0, 3], dtype=torch.int64)]
    for batch in range(scores.size(0)):
        corners = _corners(boxes[batch], centered)
        for label in range(scores.size(1)):
            values = scores[batch, label]
            order = torch.argsort(values, stable=True, descending=True)
            if threshold is not None:
                order = order[values.index_select(0, order) > threshold.reshape([])]
            taken = 0
            while order.size(0) > 0 and taken < most:
                best = order[0]
                rows.append(
                    torch.stack([torch.tensor(batch), torch.tensor(label), best]).reshape(1, 3)
                )
                taken += 1
                rest = order[1:]
                far = _overlaps(corners[best], corners.index_select(0, rest)) <= limit
                order = rest[far]
    return torch.cat(rows)


def _bilinear(plane: Tensor, y: Tensor, x: Tensor, largest: bool) -> Tensor:
    """Read planes [channel, height, width] between positions; outside is 0."""
    height, width = plane.size(1), plane.size(2)
    outside = torch.logical_or(
        torch.logical_or(y < -1.0, y > height), torch.logical_or(x < -1.0, x > width)
    )
    y = torch.clamp(y, min=0.0)
    x = torch.clamp(x, min=0.0)
    y0 = torch.clamp(torch.floor(y).to(torch.int64), max=height - 1)
    x0 = torch.clamp(torch.floor(x).to(torch.int64), max=width - 1)
    y1 = torch.clamp(y0 + 1, max=height - 1)
    x1 = torch.clamp(x0 + 1, max=width - 1)
    dy = torch.where(y0 >= height - 1, torch.zeros_like(y), y - y0)
    dx = torch.where(x0 >= width - 1, torch.zeros_like(x), x - x0)
    parts = [
        plane[:, y0, x0] * ((1 - dy) * (1 - dx)),
        plane[:, y0, x1] * ((1 - dy) * dx),
        plane[:, y1, x0] * (dy * (1 - dx)),
        plane[:, y1, x1] * (dy * dx),
    ]
    if largest:
        value = torch.maximum(torch.maximum(parts[0], parts[1]), torch.maximum(parts[2], parts[3]))
    else:
        value = parts[0] + parts[1] + parts[2] + parts[3]
    return torch.where(outside, torch.zeros_like(value), value)


def roi_align(
    x: Tensor,
    rois: Tensor,
    batches: Tensor,
    height: int,
    width: int,
    ratio: int,
    scale: float,
    largest: bool,
    half_pixel: bool,
) -> Tensor:
    """Section RoiAlign."""
    results: list[Tensor] = []
    shift = 0.5 if half_pixel else 0.0
    for index in range(rois.size(0)):
        roi: list[float] = (rois[index].to(torch.float64) * scale - shift).tolist()
        x1, y1, x2, y2 = roi[0], roi[1], roi[2], roi[3]
        roi_w, roi_h = x2 - x1, y2 - y1
        if not half_pixel:
            roi_w, roi_h = max(roi_w, 1.0), max(roi_h, 1.0)
        rows = ratio if ratio > 0 else math.ceil(roi_h / height)
        columns = ratio if ratio > 0 else math.ceil(roi_w / width)
        ys = (torch.arange(height * rows) + 0.5) * (roi_h / height / max(rows, 1)) + y1
        xs = (torch.arange(width * columns) + 0.5) * (roi_w / width / max(columns, 1)) + x1
        plane = x[int(batches[index].item())]
        shape = [height * rows, width * columns]
        grid_y = ys.unsqueeze(1).expand(shape).to(x.dtype)
        grid_x = xs.unsqueeze(0).expand(shape).to(x.dtype)
        read = _bilinear(plane, grid_y, grid_x, largest)
        cells = read.reshape([x.size(1), height, rows, width, columns])
        results.append(torch.amax(cells, [2, 4]) if largest else torch.mean(cells, [2, 4]))
    if len(results) == 0:
        return torch.zeros([0, x.size(1), height, width], dtype=x.dtype)
    return torch.stack(results)
