"""Comparisons, logic and selection."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute
from irconv_tflite.ops.elementwise import binary, magnitude
from irconv_tflite.ops.kinds import FLOAT, NUMBERS, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits

__all__: list[str] = []

_ORDER = {
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
}
_LOGIC = {"And": "LOGICAL_AND", "Or": "LOGICAL_OR", "Xor": "NOT_EQUAL"}


@emits(*_ORDER)
def order(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Greater, GreaterOrEqual, Less, LessOrEqual: the operators of the same names."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    left, right = (graph.read(value, kind) for value in node.inputs)
    graph.write(node.outputs[0], binary(graph, _ORDER[node.op_type], left, right, "bool"))


@emits("Equal")
def equal(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Equal: EQUAL."""
    dtype = graph.dtype(node.inputs[0])
    kind = "int64" if dtype == "uint64" else compute_dtype(dtype, (*NUMBERS, "bool"))
    left, right = (graph.read(value, kind) for value in node.inputs)
    graph.write(node.outputs[0], binary(graph, "EQUAL", left, right, "bool"))


@emits(*_LOGIC)
def logic(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX And, Or, Xor: LOGICAL_AND, LOGICAL_OR, NOT_EQUAL."""
    left, right = (graph.read(value, "bool") for value in node.inputs)
    graph.write(node.outputs[0], binary(graph, _LOGIC[node.op_type], left, right, "bool"))


@emits("Not")
def negation(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Not: LOGICAL_NOT."""
    x = graph.read(node.inputs[0], "bool")
    graph.write(node.outputs[0], graph.op("LOGICAL_NOT", [x], x.shape))


@emits("IsNaN")
def is_nan(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX IsNaN: NOT_EQUAL with itself."""
    x = graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), FLOAT))
    graph.write(node.outputs[0], binary(graph, "NOT_EQUAL", x, x, "bool"))


@emits("IsInf")
def is_inf(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX IsInf: EQUAL with an infinity, of both signs by way of ABS."""
    x = graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), FLOAT))
    positive = bool(int_attribute(node, "detect_positive", 1))
    negative = bool(int_attribute(node, "detect_negative", 1))
    graph.write(node.outputs[0], _infinite(graph, x, positive=positive, negative=negative))


def _infinite(graph: GraphWriter, x: Tensor, *, positive: bool, negative: bool) -> Tensor:
    infinity = np.float32(np.inf)
    if positive and negative:
        return binary(graph, "EQUAL", magnitude(graph, x), graph.constant(infinity), "bool")
    if positive or negative:
        wanted = graph.constant(infinity if positive else -infinity)
        return binary(graph, "EQUAL", x, wanted, "bool")
    zero = graph.constant(np.float32(0))
    return binary(graph, "LESS", magnitude(graph, x), zero, "bool")
