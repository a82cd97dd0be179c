"""Padding (ONNX section Pad)."""

import torch
from torch import Tensor

__all__ = ["pad"]


def pad(
    x: Tensor, pads: list[int], value: Tensor | None, axes: list[int] | None, mode: str
) -> Tensor:
    """Pad the given axes; negative pads cut off, before what is left is padded."""
    count = len(pads) // 2
    for index in range(count):
        axis = index if axes is None else axes[index]
        before, after = pads[index], pads[index + count]
        if before < 0:
            x = x.narrow(axis, -before, x.size(axis) + before)
        if after < 0:
            x = x.narrow(axis, 0, x.size(axis) + after)
        before, after = max(before, 0), max(after, 0)
        if before + after > 0:
            x = _pad_axis(x, axis, before, after, value, mode)
    return x


def _pad_axis(
    x: Tensor, axis: int, before: int, after: int, value: Tensor | None, mode: str
) -> Tensor:
    size = x.size(axis)
    if mode == "constant":
        fill = torch.zeros([], dtype=x.dtype) if value is None else value.reshape([]).to(x.dtype)
        shape: list[int] = []
        for dim in x.shape:
            shape.append(dim)
        shape[axis] = before
        left = fill.expand(shape)
        shape[axis] = after
        return torch.cat([left, x, fill.expand(shape)], axis)
    position = torch.arange(-before, size + after)
    if mode == "edge":
        position = position.clamp(0, size - 1)
    elif mode == "wrap":
        position = torch.remainder(position, size)
    else:
        period = max(2 * (size - 1), 1)
        position = torch.remainder(position, period)
        position = torch.where(position >= size, period - position, position)
    return x.index_select(axis, position)
