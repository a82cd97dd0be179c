"""Normalizations."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []

_SPATIAL_RANK_OF_L2 = 3


def _per_channel(values: Array, x: Array) -> Array:
    if values.shape != (x.shape[1],):
        raise ValueError(f"it has parameters of shape {values.shape} for {x.shape[1]} channels")
    return values.reshape(-1, *[1] * (x.ndim - 2))


@interprets("batch_norm", wide=True)
def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Array:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, a channel."""
    deviation = np.sqrt(variance + np.float32(epsilon))
    result = (x - _per_channel(mean, x)) / _per_channel(deviation, x)
    if gamma is not None:
        result = result * _per_channel(gamma, x)
    return result if beta is None else result + _per_channel(beta, x)


@interprets("instance_norm", wide=True)
def instance_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5
) -> Array:
    """Normalize over the spatial dimensions of each channel of each sample."""
    if not 3 <= x.ndim <= 4:
        raise ValueError(f"its input has rank {x.ndim}, and MIL wants 3 or 4")
    result = _normalize(x, tuple(range(2, x.ndim)), epsilon)
    if gamma is not None:
        result = result * _per_channel(gamma, x)
    return result if beta is None else result + _per_channel(beta, x)


@interprets("layer_norm", wide=True)
def layer_norm(
    x: Array,
    axes: Array | None = None,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Array:
    """Normalize over ``axes``; gamma and beta have the shape of those axes."""
    chosen = range(x.ndim) if axes is None else sorted(int(axis) % x.ndim for axis in axes)
    result = _normalize(x, tuple(chosen), epsilon)
    shape = [size if axis in chosen else 1 for axis, size in enumerate(x.shape)]
    if gamma is not None:
        result = result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


def _normalize(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centered = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centered).mean(axis=axes, keepdims=True)
    result: Array = centered / np.sqrt(variance + np.float32(epsilon))
    return result


@interprets("l2_norm", wide=True)
def l2_norm(x: Array, epsilon: float = 1e-6) -> Array:
    """Divide by the square root of the sum of squares of the last three dimensions."""
    if x.ndim < _SPATIAL_RANK_OF_L2:
        raise ValueError(f"its input has rank {x.ndim}, and MIL wants 3 or more")
    total = np.square(x).sum(axis=(-3, -2, -1), keepdims=True)
    result: Array = x / np.sqrt(total + np.float32(epsilon))
    return result


@interprets("local_response_norm", wide=True)
def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """Divide by ``(k + alpha/size sum)^beta``, the sum of squares over neighboring channels."""
    count = int(size)
    before = count // 2
    squares = np.square(x)
    padded = np.pad(squares, [(0, 0), (before, count - 1 - before), *[(0, 0)] * (x.ndim - 2)])
    total = np.zeros_like(x)
    for offset in range(count):
        total += padded[:, offset : offset + x.shape[1]]
    scale = np.float32(k) + np.float32(alpha) / count * total
    result: Array = x / scale ** np.float32(beta)
    return result
