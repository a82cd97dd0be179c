"""Shifts of bits."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.dtypes import item_size
from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import text_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.registry import emits

__all__: list[str] = []

_BITS = 8
_HALF = 31


@emits("BitShift")
def bit_shift(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX BitShift: RIGHT_SHIFT; to the left MUL by powers of two in int64.

    An amount outside of the dtype's bits leaves what sign extension alone gives: 0, and -1 for a
    negative number shifted to the right.
    """
    dtype = graph.dtype(node.inputs[0])
    bits = item_size(dtype) * _BITS
    amount = graph.read(node.inputs[1], "int64")
    beyond = _beyond(graph, amount, bits)
    if text_attribute(node, "direction", "") == "LEFT":
        result = _left(graph, graph.read(node.inputs[0], "int64"), amount, beyond)
    else:
        result = _right(graph, node, amount, beyond, dtype)
    graph.write(node.outputs[0], result)


def _beyond(graph: GraphWriter, amount: Tensor, bits: int) -> Tensor:
    """Return where an amount is negative, or no less than the number of bits."""
    below = binary(graph, "LESS", amount, graph.constant(np.int64(0)), "bool")
    above = binary(graph, "GREATER_EQUAL", amount, graph.constant(np.int64(bits)), "bool")
    return binary(graph, "LOGICAL_OR", below, above, "bool")


def _choose(graph: GraphWriter, condition: Tensor, value: int, other: Tensor) -> Tensor:
    constant = graph.constant(np.array(value, other.dtype))
    return graph.op("SELECT_V2", [condition, constant, other], other.shape, other.dtype)


def _left(graph: GraphWriter, x: Tensor, amount: Tensor, beyond: Tensor) -> Tensor:
    """Multiply twice, since 2 to the power of 63 is no int64."""
    inside = _choose(graph, beyond, 0, amount)
    first = binary(graph, "MINIMUM", inside, graph.constant(np.int64(_HALF)))
    second = binary(graph, "SUB", inside, first)
    for part in (first, second):
        exponent = graph.cast(part, "float32")
        power = binary(graph, "POW", graph.constant(np.float32(2)), exponent)
        x = binary(graph, "MUL", x, graph.cast(power, "int64"))
    return binary(graph, "MUL", x, _kept(graph, beyond))


def _kept(graph: GraphWriter, beyond: Tensor) -> Tensor:
    """Return 0 where an amount is beyond the bits, else 1."""
    return graph.cast(graph.op("LOGICAL_NOT", [beyond], beyond.shape), "int64")


def _right(graph: GraphWriter, node: ir.Node, amount: Tensor, beyond: Tensor, dtype: str) -> Tensor:
    if dtype in ("int64", "uint64"):
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"LiteRT does not shift {dtype} to the right",
            "convert that part of the model to int32",
        )
    kind = "uint32" if dtype == "uint32" else "int32"
    inside = graph.cast(_choose(graph, beyond, _HALF, amount), kind)
    shifted = binary(graph, "RIGHT_SHIFT", graph.read(node.inputs[0], kind), inside)
    if dtype != "uint32":
        return shifted
    return binary(graph, "MUL", graph.cast(shifted, "int64"), _kept(graph, beyond))
