"""Inputs on which runtimes disagree or die, so that nothing may be computed ahead from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

__all__ = ["hazard"]

_Array = np.ndarray[Any, np.dtype[Any]]


def hazard(node: onnx.NodeProto, arrays: Sequence[_Array | None]) -> str:
    """Return why the node's result is undefined for these inputs; empty where it is not."""
    check = _CHECKS.get(node.op_type)
    return check(node, [array for array in arrays if array is not None]) if check else ""


def _integer_division(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    if len(arrays) != 2 or not np.issubdtype(arrays[0].dtype, np.integer):
        return ""
    dividend, divisor = arrays
    if (divisor == 0).any():
        return "it divides an integer by zero"
    smallest = np.iinfo(dividend.dtype).min
    if smallest < 0 and (dividend == smallest).any() and (divisor == -1).any():
        return f"it divides {smallest} by -1, which overflows"
    return ""


def _float_to_integer(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    source = arrays[0]
    if node.op_type == "CastLike":
        goal = arrays[1].dtype
    else:
        to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
        goal = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(to))
    if source.dtype.kind != "f" or goal.kind not in "iu" or not source.size:
        return ""
    limits = np.iinfo(goal)
    values = np.trunc(source.astype(np.float64))
    upper = float(limits.max)
    # The largest 64-bit integers round up to a float64 that the integer dtype cannot hold.
    beyond = values >= upper if int(upper) > limits.max else values > upper
    if not np.isfinite(values).all() or (values < limits.min).any() or beyond.any():
        return "it casts floats that the integer dtype cannot hold"
    return ""


def _shift(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    if len(arrays) == 2 and (arrays[1] >= 8 * arrays[0].dtype.itemsize).any():
        return "it shifts by more bits than the dtype has"
    return ""


def _range(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    if not all(np.isfinite(array).all() for array in arrays):
        return "it counts with an infinity or a NaN"
    return "it counts in steps of zero" if len(arrays) == 3 and not arrays[2].all() else ""


def _integer_power(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    base, exponent = arrays[0], arrays[-1]
    if np.issubdtype(base.dtype, np.integer) and (exponent < 0).any():
        return "it raises an integer to a negative power"
    return ""


def _order(node: onnx.NodeProto, arrays: Sequence[_Array]) -> str:
    floats = [array for array in arrays if array.dtype.kind == "f"]
    if any(np.isnan(array).any() for array in floats):
        return "it orders NaN, which runtimes do differently"
    negative = [np.signbit(array[array == 0]) for array in floats]
    positive = node.op_type == "Relu" or any(not signs.all() for signs in negative)
    if positive and any(signs.any() for signs in negative):
        return "it orders zeros of both signs, which runtimes do differently"
    return ""


_CHECKS: Mapping[str, Callable[[onnx.NodeProto, Sequence[_Array]], str]] = {
    "BitShift": _shift,
    "Cast": _float_to_integer,
    "CastLike": _float_to_integer,
    "Clip": _order,
    "Div": _integer_division,
    "Max": _order,
    "Min": _order,
    "Mod": _integer_division,
    "Pow": _integer_power,
    "Range": _range,
    "ReduceMax": _order,
    "ReduceMin": _order,
    "Relu": _order,
}
