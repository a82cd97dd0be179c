"""Normalization (ONNX sections BatchNormalization to LpNormalization)."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

__all__ = ["batch", "batch_training", "layer", "local_response", "lp"]


def _per_channel(x: Tensor, values: Tensor) -> Tensor:
    shape = [1, -1]
    for _ in range(x.dim() - 2):
        shape.append(1)
    return values.reshape(shape)


def batch(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> Tensor:
    """Section BatchNormalization in inference, with parameters of other dtypes."""
    wide = variance.to(torch.float32) if variance.dtype != torch.float64 else variance
    factor = scale / torch.sqrt(wide + epsilon)
    centred = x - _per_channel(x, mean)
    return (centred * _per_channel(x, factor) + _per_channel(x, bias)).to(x.dtype)


def batch_training(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
    momentum: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Section BatchNormalization in training: statistics of the batch, biased variance."""
    axes = [0]
    for axis in range(2, x.dim()):
        axes.append(axis)
    now = torch.mean(x, axes)
    spread = torch.var(x, axes, unbiased=False)
    result = batch(x, scale, bias, now, spread, epsilon)
    return (
        result,
        mean * momentum + now * (1.0 - momentum),
        variance * momentum + spread * (1.0 - momentum),
    )


def layer(
    x: Tensor, scale: Tensor, bias: Tensor | None, axis: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Section LayerNormalization, with mean and inverse deviation."""
    first = axis + x.dim() if axis < 0 else axis
    axes = list(range(first, x.dim()))
    wide = x if x.dtype == torch.float64 else x.to(torch.float32)
    mean = torch.mean(wide, axes, True)
    centred = wide - mean
    inverse = torch.rsqrt(torch.mean(centred * centred, axes, True) + epsilon)
    result = (centred * inverse).to(x.dtype) * scale
    if bias is not None:
        result = result + bias
    return result, mean, inverse


def local_response(x: Tensor, size: int, alpha: float, beta: float, bias: float) -> Tensor:
    """Section LRN: over channels, one more after than before where the size is even."""
    before = (size - 1) // 2
    pads: list[int] = []
    for _ in range(x.dim() - 2):
        pads.append(0)
        pads.append(0)
    pads.append(before)
    pads.append(size - 1 - before)
    squares = F.pad(x * x, pads).unfold(1, size, 1)
    return x / torch.pow(torch.sum(squares, -1) * (alpha / size) + bias, beta)


def lp(x: Tensor, axis: int, p: int) -> Tensor:
    """Section LpNormalization."""
    size = torch.abs(x) if p == 1 else x * x
    norm = torch.sum(size, axis, True)
    if p == 2:
        norm = torch.sqrt(norm)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)
