"""Operators of two operands, element by element, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []

_SIMPLE: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "pow": np.power,
    "floor_div": np.floor_divide,
    "mod": np.mod,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
}
_LOGICAL: dict[str, Callable[[Any, Any], Any]] = {
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def _require_same_dtype(x: Array, y: Array) -> None:
    if x.dtype != y.dtype:
        raise TypeError(f"its operands are {x.dtype} and {y.dtype}, and MIL wants one dtype")


def _register_simple(kind: str, function: Callable[[Any, Any], Any]) -> None:
    @interprets(kind, wide=True)
    def compute(x: Array, y: Array) -> Array:
        result: Array = function(x, y)
        return result


def _register_logical(kind: str, function: Callable[[Any, Any], Any]) -> None:
    @interprets(kind)
    def compute(x: Array, y: Array) -> Array:
        _require_same_dtype(x, y)
        if x.dtype != np.bool_:
            raise TypeError(f"its operands are {x.dtype}, and MIL wants bool")
        result: Array = function(x, y)
        return result


for _kind, _function in _SIMPLE.items():
    _register_simple(_kind, _function)
for _kind, _function in _LOGICAL.items():
    _register_logical(_kind, _function)


@interprets("real_div", wide=True)
def real_div(x: Array, y: Array) -> Array:
    """``x / y``; for integers MIL does not say which way it rounds, so they are refused."""
    if x.dtype.kind != "f":
        raise TypeError(f"MIL does not define the quotient of {x.dtype}")
    return np.divide(x, y)
