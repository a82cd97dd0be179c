"""Activations."""

from __future__ import annotations

import math

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.error_function import erf
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


def _sigmoid(x: Array) -> Array:
    exponential = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, exponential) / (1 + exponential)
    return result


def _per_channel(values: Array, x: Array) -> Array:
    if values.shape != (x.shape[1],):
        raise ValueError(f"it has {values.shape} parameters for {x.shape[1]} channels")
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _half(x: Array) -> Array:
    return np.multiply(np.float32(0.5), x)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@interprets("relu", wide=True)
def relu(x: Array) -> Array:
    """``max(x, 0)``."""
    return np.maximum(x, 0)


@interprets("relu6", wide=True)
def relu6(x: Array) -> Array:
    """``min(max(x, 0), 6)``."""
    return np.minimum(np.maximum(x, 0), 6)


@interprets("clamped_relu", wide=True)
def clamped_relu(x: Array, alpha: Array, beta: Array) -> Array:
    """``min(beta, x)`` where ``x >= 0``, else ``min(beta, alpha x)``."""
    return np.minimum(beta, np.where(x >= 0, x, alpha * x))


@interprets("leaky_relu", wide=True)
def leaky_relu(x: Array, alpha: Array) -> Array:
    """``x`` where ``x >= 0``, else ``alpha x``."""
    return np.where(x >= 0, x, alpha * x)


@interprets("thresholded_relu", wide=True)
def thresholded_relu(x: Array, alpha: Array) -> Array:
    """``x`` where ``x >= alpha``, else 0."""
    return np.where(x >= alpha, x, np.zeros_like(x))


@interprets("prelu", wide=True)
def prelu(x: Array, alpha: Array) -> Array:
    """``x`` where ``x > 0``, else the channel's ``alpha`` times ``x``."""
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"its input has rank {x.ndim}, and MIL wants 3 to 5")
    return np.where(x > 0, x, _per_channel(alpha, x) * x)


@interprets("elu", wide=True)
def elu(x: Array, alpha: Array) -> Array:
    """``x`` where ``x > 0``, else ``alpha (exp(x) - 1)``."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@interprets("gelu", wide=True)
def gelu(x: Array, mode: str = "EXACT") -> Array:
    """``x`` times the normal distribution function of ``x``, or an approximation of that."""
    if mode == "EXACT":
        return _half(x * (1 + erf(x / np.float32(math.sqrt(2)))))
    if mode == "TANH_APPROXIMATION":
        inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
        return _half(x * (1 + np.tanh(inner)))
    if mode == "SIGMOID_APPROXIMATION":
        return x * _sigmoid(np.float32(1.702) * x)
    raise ValueError(f"MIL has no mode {mode!r}")


@interprets("linear_activation", wide=True)
def linear_activation(x: Array, alpha: Array, beta: Array) -> Array:
    """``alpha x + beta``."""
    result: Array = np.add(alpha * x, beta)
    return result


@interprets("scaled_tanh", wide=True)
def scaled_tanh(x: Array, alpha: Array, beta: Array) -> Array:
    """``alpha tanh(beta x)``."""
    result: Array = np.multiply(alpha, np.tanh(beta * x))
    return result


@interprets("sigmoid", wide=True)
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _sigmoid(x)


@interprets("sigmoid_hard", wide=True)
def sigmoid_hard(x: Array, alpha: Array, beta: Array) -> Array:
    """``min(max(alpha x + beta, 0), 1)``."""
    result: Array = np.minimum(np.maximum(alpha * x + beta, 0), 1)
    return result


@interprets("silu", wide=True)
def silu(x: Array) -> Array:
    """``x sigmoid(x)``."""
    return x * _sigmoid(x)


@interprets("softplus", wide=True)
def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    return _softplus(x)


@interprets("softplus_parametric", wide=True)
def softplus_parametric(x: Array, alpha: Array, beta: Array) -> Array:
    """``alpha log(1 + exp(beta x))`` with a channel's parameters."""
    return _per_channel(alpha, x) * _softplus(_per_channel(beta, x) * x)


@interprets("softsign", wide=True)
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    result: Array = np.divide(x, 1 + np.abs(x))
    return result


@interprets("softmax", wide=True)
def softmax(x: Array, axis: int = -1) -> Array:
    """``exp(x)`` over its sum along ``axis``."""
    exponential = np.exp(x - x.max(axis=int(axis), keepdims=True))
    result: Array = exponential / exponential.sum(axis=int(axis), keepdims=True)
    return result
