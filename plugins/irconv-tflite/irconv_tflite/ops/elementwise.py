"""Arithmetic of two or more operands, with broadcasting."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute
from irconv_tflite.ops.integer_division import divide_int64
from irconv_tflite.ops.kinds import (
    FLOAT,
    NUMBERS,
    broadcast,
    compute_dtype,
    require_no_uint64,
)
from irconv_tflite.ops.registry import emits

__all__ = ["binary", "magnitude"]

_WRAPPING = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL"}
_VARIADIC = {"Max": "MAXIMUM", "Min": "MINIMUM", "Sum": "ADD"}
_BITWISE_DTYPES = ("int32", "int16", "int8", "uint32", "uint16", "uint8")


def binary(
    graph: GraphWriter, code: str, left: Tensor, right: Tensor, dtype: str | None = None
) -> Tensor:
    """Add an operator of two broadcast operands of one dtype."""
    return graph.op(code, [left, right], broadcast(left.shape, right.shape), dtype)


@emits(*_WRAPPING)
def arithmetic(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Add, Sub, Mul: ADD, SUB, MUL; integers wrap around."""
    dtype = graph.dtype(node.inputs[0])
    kind = "int64" if dtype == "uint64" else compute_dtype(dtype, NUMBERS)
    left, right = (graph.read(value, kind) for value in node.inputs)
    graph.write(node.outputs[0], binary(graph, _WRAPPING[node.op_type], left, right))


@emits("Div")
def divide(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Div: DIV; integers are truncated towards zero."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    left, right = (graph.read(value, kind) for value in node.inputs)
    function = divide_int64 if kind == "int64" else _divide
    graph.write(node.outputs[0], function(graph, left, right))


def _divide(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    return binary(graph, "DIV", left, right)


@emits("Mod")
def modulo(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Mod: FLOOR_MOD with fmod=0; with fmod=1 the remainder has the dividend's sign."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    left, right = (graph.read(value, kind) for value in node.inputs)
    if int_attribute(node, "fmod", 0):
        graph.write(node.outputs[0], _remainder(graph, left, right))
    else:
        graph.write(node.outputs[0], binary(graph, "FLOOR_MOD", left, right))


def _remainder(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    """Return sign(a) * (|a| mod |b|), which keeps the sign of a."""
    zero = graph.constant(np.zeros((), left.dtype))
    size = binary(graph, "FLOOR_MOD", magnitude(graph, left), magnitude(graph, right))
    negative = binary(graph, "LESS", left, zero, "bool")
    return graph.op(
        "SELECT_V2", [negative, graph.op("NEG", [size], size.shape), size], size.shape, left.dtype
    )


def magnitude(graph: GraphWriter, tensor: Tensor) -> Tensor:
    """Return |x| of float32, int32 or int64; ABS has no kernel for the last."""
    if tensor.dtype == "int64":
        return binary(graph, "MAXIMUM", tensor, graph.op("NEG", [tensor], tensor.shape))
    return graph.op("ABS", [tensor], tensor.shape)


@emits("Pow")
def power(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Pow: POW in float32; MUL for a square."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    exponent = graph.array(node.inputs[1])
    if exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2.0:
        base = graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS))
        graph.write(node.outputs[0], binary(graph, "MUL", base, base))
        return
    if dtype in ("int64", "uint32"):
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"LiteRT has no power of {dtype}",
            "convert that part of the model to float32 or int32",
        )
    kind = compute_dtype(dtype, ("float32", "int32"))
    power_dtype = graph.dtype(node.inputs[1])
    if kind == "int32" and power_dtype.startswith(("float", "bfloat")):
        kind = "float32"
    left, right = (graph.read(value, kind) for value in node.inputs)
    graph.write(node.outputs[0], binary(graph, "POW", left, right))


@emits(*_VARIADIC)
def variadic(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Max, Min, Sum: MAXIMUM, MINIMUM, ADD, one after another."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    operands = [graph.read(value, kind) for value in node.inputs]
    code = _VARIADIC[node.op_type]
    result = reduce(lambda left, right: binary(graph, code, left, right), operands)
    graph.write(node.outputs[0], result)


@emits("Mean")
def mean(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Mean: ADD, then MUL by one over the number of operands."""
    kind = compute_dtype(graph.dtype(node.inputs[0]), FLOAT)
    operands = [graph.read(value, kind) for value in node.inputs]
    total = reduce(lambda left, right: binary(graph, "ADD", left, right), operands)
    share = graph.constant(np.float32(1 / len(operands)))
    graph.write(node.outputs[0], binary(graph, "MUL", total, share))


@emits("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX BitwiseXor: BITWISE_XOR; BitwiseAnd: STABLEHLO_AND; a or b = (a and b) xor a xor b."""
    dtype = graph.dtype(node.inputs[0])
    if dtype not in _BITWISE_DTYPES and node.op_type != "BitwiseAnd":
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"LiteRT has no {node.op_type} of {dtype}",
            "convert that part of the model to int32",
        )
    left, right = (graph.read(value) for value in node.inputs)
    graph.write(node.outputs[0], _BITWISE[node.op_type](graph, left, right))


def _xor(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    return binary(graph, "BITWISE_XOR", left, right)


def _and(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    """STABLEHLO_AND does not broadcast, so both operands are brought to one shape."""
    shape = broadcast(left.shape, right.shape)
    zero = graph.constant(np.zeros((), left.dtype))
    if left.shape != shape or None in (shape or (None,)):
        left = _spread(graph, left, right, zero)
    if right.shape != shape or None in (shape or (None,)):
        right = _spread(graph, right, left, zero)
    return graph.op("STABLEHLO_AND", [left, right], shape)


def _spread(graph: GraphWriter, tensor: Tensor, like: Tensor, zero: Tensor) -> Tensor:
    shape = broadcast(tensor.shape, like.shape)
    if shape is None or None in shape:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "LiteRT's bitwise and needs operands of known shapes",
            "bind the dynamic dimensions with --shape",
        )
    del zero
    target = graph.constant(np.array(shape, np.int32))
    return graph.op("BROADCAST_TO", [tensor, target], shape)


def _or(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    return _xor(graph, _and(graph, left, right), _xor(graph, left, right))


_BITWISE = {"BitwiseXor": _xor, "BitwiseAnd": _and, "BitwiseOr": _or}


@emits("BitwiseNot")
def bitwise_not(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX BitwiseNot: xor with all ones, or -1 - x where that has no kernel."""
    dtype = graph.dtype(node.inputs[0])
    if dtype in _BITWISE_DTYPES:
        ones = graph.constant(~np.zeros((), dtype))
        result = _xor(graph, graph.read(node.inputs[0]), ones)
    else:
        x = graph.read(node.inputs[0], "int64")
        result = binary(graph, "SUB", graph.constant(np.int64(-1)), x)
    graph.write(node.outputs[0], result)
