"""Random numbers (ONNX sections Dropout, RandomUniform, RandomNormal, Multinomial)."""

import torch
from torch import Tensor

__all__ = ["dropout", "multinomial", "normal", "uniform"]


def uniform(shape: list[int], low: float, high: float, dtype: torch.dtype) -> Tensor:
    """Section RandomUniform."""
    return (torch.rand(shape) * (high - low) + low).to(dtype)


def normal(shape: list[int], mean: float, scale: float, dtype: torch.dtype) -> Tensor:
    """Section RandomNormal."""
    return (torch.randn(shape) * scale + mean).to(dtype)


def multinomial(x: Tensor, samples: int, dtype: torch.dtype) -> Tensor:
    """Section Multinomial."""
    return torch.multinomial(torch.softmax(x, 1), samples, True).to(dtype)


def dropout(x: Tensor, ratio: Tensor | None, training: Tensor) -> tuple[Tensor, Tensor]:
    """Section Dropout with a training flag that is an input."""
    share = 0.5 if ratio is None else float(ratio.item())
    if not bool(training.item()) or share == 0.0:
        return x, torch.ones_like(x, dtype=torch.bool)
    kept = torch.rand(x.shape) >= share
    return torch.where(kept, x / (1.0 - share), torch.zeros_like(x)), kept
