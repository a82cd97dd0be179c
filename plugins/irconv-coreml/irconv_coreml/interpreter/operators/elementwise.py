"""Operators of one operand, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.error_function import erf
from irconv_coreml.interpreter.registry import interprets

__all__ = ["CAST_DTYPES"]

CAST_DTYPES = {
    "bool": np.bool_,
    "fp16": np.float16,
    "fp32": np.float32,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
}
"""What MIL calls dtypes in the parameters of operators."""

_SIMPLE: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "round": np.rint,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}


def _register(kind: str, function: Callable[[Any], Any]) -> None:
    @interprets(kind, wide=True)
    def compute(x: Array) -> Array:
        result: Array = function(x)
        return result


for _kind, _function in _SIMPLE.items():
    _register(_kind, _function)


@interprets("logical_not")
def logical_not(x: Array) -> Array:
    """``not x``."""
    if x.dtype != np.bool_:
        raise TypeError(f"its operand is {x.dtype}, and MIL wants bool")
    return np.logical_not(x)


@interprets("clip", wide=True)
def clip(x: Array, alpha: Array, beta: Array) -> Array:
    """``min(max(x, alpha), beta)``."""
    return np.minimum(np.maximum(x, alpha), beta).astype(x.dtype)


@interprets("threshold", wide=True)
def threshold(x: Array, alpha: Array) -> Array:
    """``max(x, alpha)``."""
    return np.maximum(x, alpha).astype(x.dtype)


@interprets("inverse", wide=True)
def inverse(x: Array, epsilon: float = 1e-4) -> Array:
    """``1 / (x + epsilon)``."""
    return np.reciprocal(x + np.float32(epsilon))


@interprets("log", wide=True)
def log(x: Array, epsilon: float = 1e-45) -> Array:
    """``log(x + epsilon)``."""
    return np.log(x + np.float32(epsilon))


@interprets("rsqrt", wide=True)
def rsqrt(x: Array, epsilon: float = 1e-12) -> Array:
    """``1 / sqrt(x + epsilon)``."""
    return np.reciprocal(np.sqrt(x + np.float32(epsilon)))


@interprets("cast")
def cast(x: Array, dtype: str) -> Array:
    """Convert; a fraction is cut off, and what is not zero becomes true."""
    if dtype not in CAST_DTYPES:
        raise TypeError(f"MIL has no cast to {dtype!r}")
    return x.astype(CAST_DTYPES[dtype])


@interprets("identity")
def identity(x: Array) -> Array:
    """``x``."""
    return x
