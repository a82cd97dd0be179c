"""Section Resize, one axis after the other."""

import math

import torch
from torch import Tensor

__all__ = ["resize"]


def _positions(
    outputs: int, size: int, scale: float, mode: str, roi_start: float, roi_end: float
) -> Tensor:
    """Return where each output lies between the inputs."""
    x = torch.arange(outputs, dtype=torch.float64)
    if mode == "align_corners":
        return x * ((size - 1) / (outputs - 1)) if outputs > 1 else x * 0.0
    if mode == "asymmetric":
        return x / scale
    if mode == "tf_crop_and_resize":
        if outputs > 1:
            step = (roi_end - roi_start) * (size - 1) / (outputs - 1)
            return roi_start * (size - 1) + x * step
        return x * 0.0 + 0.5 * (roi_start + roi_end) * (size - 1)
    if mode == "pytorch_half_pixel" and outputs == 1:
        return x * 0.0
    half = (x + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return half + size / 2.0 * (1.0 - outputs / (scale * size))
    return half


def _nearest(position: Tensor, mode: str) -> Tensor:
    if mode == "floor":
        return torch.floor(position)
    if mode == "ceil":
        return torch.ceil(position)
    if mode == "round_prefer_ceil":
        return torch.floor(position + 0.5)
    return torch.ceil(position - 0.5)


def _cubic(distance: Tensor, a: float) -> Tensor:
    d = torch.abs(distance)
    near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    far = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    return torch.where(d <= 1.0, near, torch.where(d < 2.0, far, torch.zeros_like(d)))


def _resize_axis(
    x: Tensor,
    axis: int,
    position: Tensor,
    scale: float,
    kind: str,
    nearest: str,
    a: float,
    exclude: bool,
    antialias: bool,
) -> Tensor:
    size = x.size(axis)
    if kind == "nearest":
        place = torch.clamp(_nearest(position, nearest), 0, size - 1).to(torch.int64)
        return x.index_select(axis, place)
    reach = 1.0 if kind == "linear" else 2.0
    narrow = min(scale, 1.0) if antialias else 1.0
    first = math.floor(-reach / narrow) + 1
    base = torch.floor(position)
    total = torch.zeros_like(position)
    weights: list[Tensor] = []
    places: list[Tensor] = []
    for tap in range(first, 2 - first):
        place = base + tap
        distance = (position - place) * narrow
        if kind == "linear":
            weight = torch.clamp(1.0 - torch.abs(distance), min=0.0)
        else:
            weight = _cubic(distance, a)
        if exclude:
            outside = torch.logical_or(place < 0, place > size - 1)
            weight = torch.where(outside, torch.zeros_like(weight), weight)
        total = total + weight
        weights.append(weight)
        places.append(torch.clamp(place, 0, size - 1).to(torch.int64))
    shape: list[int] = []
    for other in range(x.dim()):
        shape.append(position.size(0) if other == axis else 1)
    wide = x if x.dtype == torch.float64 else x.to(torch.float32)
    result = torch.zeros([], dtype=wide.dtype)
    for index in range(len(weights)):
        weight = weights[index]
        if exclude or antialias:
            weight = weight / total
        part = wide.index_select(axis, places[index]) * weight.reshape(shape).to(wide.dtype)
        result = result + torch.where(weight.reshape(shape) == 0, torch.zeros_like(part), part)
    return result


def resize(
    x: Tensor,
    roi: Tensor | None,
    scales: Tensor | None,
    sizes: list[int] | None,
    axes: list[int],
    kind: str,
    mode: str,
    nearest: str,
    a: float,
    exclude: bool,
    extrapolated: float,
    antialias: bool,
    policy: str,
) -> Tensor:
    """Section Resize."""
    factors: list[float] = []
    outputs: list[int] = []
    if sizes is not None:
        for index, axis in enumerate(axes):
            outputs.append(sizes[index])
            factors.append(sizes[index] / x.size(axis))
        if policy != "stretch":
            common = min(factors) if policy == "not_larger" else max(factors)
            for index, axis in enumerate(axes):
                factors[index] = common
                outputs[index] = math.floor(common * x.size(axis) + 0.5)
    else:
        assert scales is not None
        given: list[float] = scales.to(torch.float64).tolist()
        for index, axis in enumerate(axes):
            factors.append(given[index])
            outputs.append(math.floor(given[index] * x.size(axis)))
    bounds: list[float] = []
    if roi is not None:
        corners: list[float] = roi.to(torch.float64).tolist()
        bounds = corners
    dtype, whole = x.dtype, not x.is_floating_point()
    outside = torch.zeros([1], dtype=torch.bool)
    for index, axis in enumerate(axes):
        size = x.size(axis)
        low, high = 0.0, 1.0
        if len(bounds) > 0:
            low, high = bounds[index], bounds[index + len(axes)]
        if outputs[index] == size and factors[index] == 1.0 and low == 0.0 and high == 1.0:
            continue
        position = _positions(outputs[index], size, factors[index], mode, low, high)
        if mode == "tf_crop_and_resize":
            shape: list[int] = []
            for other in range(x.dim()):
                shape.append(outputs[index] if other == axis else 1)
            out = torch.logical_or(position < 0, position > size - 1).reshape(shape)
            outside = torch.logical_or(outside, out)
        x = _resize_axis(x, axis, position, factors[index], kind, nearest, a, exclude, antialias)
    if mode == "tf_crop_and_resize":
        x = torch.where(outside, torch.full([], extrapolated, dtype=x.dtype), x)
    if whole and x.is_floating_point():
        x = torch.round(x)
    return x.to(dtype)
