"""Division of int64, for which LiteRT has a remainder but no quotient."""

from __future__ import annotations

import numpy as np

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.kinds import broadcast

__all__ = ["divide_int64"]

_ROUNDS = 3


def divide_int64(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    """Return the quotient of int64, truncated towards zero.

    ``a - (a mod b)`` is an exact multiple of b. Its quotient is found by float32 divisions, each
    of which leaves a remainder 2^22 times smaller; three are enough for 63 bits, and the last is
    rounded to the exact quotient. That is the floor; where a and b have different signs and the
    division is not exact, truncation is one more.

    Args:
        graph: Where to add the operators.
        left: The dividend, int64.
        right: The divisor, int64.
    """
    shape = broadcast(left.shape, right.shape)

    def pair(code: str, a: Tensor, b: Tensor, dtype: str = "int64") -> Tensor:
        return graph.op(code, [a, b], shape, dtype)

    remainder = pair("FLOOR_MOD", left, right)
    rest = pair("SUB", left, remainder)
    divisor = graph.cast(right, "float32")
    quotient: Tensor | None = None
    for _ in range(_ROUNDS):
        estimate = pair("DIV", graph.cast(rest, "float32"), divisor, "float32")
        step = graph.cast(graph.op("ROUND", [estimate], shape), "int64")
        rest = pair("SUB", rest, pair("MUL", step, right))
        quotient = step if quotient is None else pair("ADD", quotient, step)
    assert quotient is not None
    zero = graph.constant(np.int64(0))
    inexact = pair("NOT_EQUAL", remainder, zero, "bool")
    signs = [graph.op("LESS", [tensor, zero], tensor.shape, "bool") for tensor in (left, right)]
    differ = pair("NOT_EQUAL", signs[0], signs[1], "bool")
    correction = graph.cast(pair("LOGICAL_AND", inexact, differ, "bool"), "int64")
    return pair("ADD", quotient, correction)
