"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute
from irconv_tflite.ops.elementwise import binary, magnitude
from irconv_tflite.ops.kinds import FLOAT, NUMBERS, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import result_shape

__all__ = ["reduce_over"]

_CODES = {
    "ReduceSum": "SUM",
    "ReduceMean": "MEAN",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}
_OF_NOTHING = ("REDUCE_MAX", "REDUCE_MIN")
_OF_BOOL = {"ReduceMax": "REDUCE_ANY", "ReduceMin": "REDUCE_ALL"}


def reduce_over(
    graph: GraphWriter, code: str, x: Tensor, axes: Sequence[int], *, keep: bool
) -> Tensor:
    """Reduce over known axes."""
    assert x.shape is not None
    shape = tuple(
        1 if axis in axes else dim for axis, dim in enumerate(x.shape) if keep or axis not in axes
    )
    if code in _OF_NOTHING and 0 in x.shape and None not in shape:
        return graph.constant(np.full(shape, _of_nothing(code, x.dtype)))
    places = graph.constant(np.array(axes, np.int32))
    return graph.op(code, [x, places], shape, keepDims=keep)


def _of_nothing(code: str, dtype: str) -> Any:
    """Return the largest or smallest number, which is the minimum or maximum of no numbers."""
    sign = -1 if code == "REDUCE_MAX" else 1
    if dtype == "float32":
        return np.float32(sign * np.inf)
    limits = np.iinfo(dtype)
    return np.dtype(dtype).type(limits.min if sign < 0 else limits.max)


@emits(*_CODES)
def reduction(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ReduceSum, Mean, Max, Min, Prod: SUM, MEAN, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    code = _CODES[node.op_type]
    if dtype == "bool":
        code, kind = _OF_BOOL[node.op_type], "bool"
    else:
        kind = compute_dtype(dtype, NUMBERS if code != "MEAN" else (*FLOAT, "int32", "int64"))
    if code == "MEAN" and kind != "float32":
        raise RefusalError(
            "UNSUPPORTED_DTYPE", f"LiteRT has no mean of {dtype}", "convert it to float32"
        )
    x = graph.read(node.inputs[0], kind)
    _reduce(graph, node, code, x)


def _reduce(graph: GraphWriter, node: ir.Node, code: str, x: Tensor) -> None:
    result = _reduced(graph, node, code, x)
    graph.write(node.outputs[0], result)


def _known_axes(graph: GraphWriter, node: ir.Node) -> list[int] | None:
    """Return the axes to reduce over, empty for none; None where only the run knows them."""
    rank = graph.rank(node.inputs[0])
    axes_value = given(node, 1)
    axes = () if axes_value is None else graph.ints(axes_value)
    if axes is None and graph.shape(axes_value) == (0,):
        axes = ()
    if axes is None:
        return None
    if not axes and not int_attribute(node, "noop_with_empty_axes", 0):
        return list(range(rank))
    return sorted(axis % rank for axis in axes)


def _reduced(graph: GraphWriter, node: ir.Node, code: str, x: Tensor) -> Tensor:
    keep = bool(int_attribute(node, "keepdims", 1))
    axes = _known_axes(graph, node)
    if axes is not None:
        return reduce_over(graph, code, x, axes, keep=keep) if axes else x
    axes_value = node.inputs[1]
    if code in _OF_NOTHING and 0 in (x.shape or ()):
        raise RefusalError(
            "WRONG_RESULTS",
            "LiteRT gives another limit for the maximum or minimum of no numbers",
            "give the axes as a constant",
        )
    if graph.shape(axes_value)[0] is None and not int_attribute(node, "noop_with_empty_axes", 0):
        graph.fixed_ints(axes_value, "the axes")
    places = graph.read(axes_value, "int32")
    return graph.op(code, [x, places], result_shape(graph, node), keepDims=keep)


@emits("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def norm(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ReduceL1: ABS, SUM; L2: MUL, SUM, SQRT; LogSumExp: EXP, SUM, LOG; and their like.

    LogSumExp is taken relative to the maximum, so that it does not overflow.
    """
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    exact = node.op_type in ("ReduceL1", "ReduceSumSquare")
    x = graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS) if exact else "float32")
    if node.op_type == "ReduceLogSumExp":
        graph.write(node.outputs[0], _log_sum_exp(graph, node, x))
        return
    if node.op_type == "ReduceL1":
        x = magnitude(graph, x)
    elif node.op_type != "ReduceLogSum":
        x = binary(graph, "MUL", x, x)
    total = _reduced(graph, node, "SUM", x)
    if node.op_type == "ReduceL2":
        total = graph.op("SQRT", [total], total.shape)
    elif node.op_type == "ReduceLogSum":
        total = graph.op("LOG", [total], total.shape)
    graph.write(node.outputs[0], total)


def _log_sum_exp(graph: GraphWriter, node: ir.Node, x: Tensor) -> Tensor:
    axes = _known_axes(graph, node)
    if axes is None or 0 in (x.shape or (0,)):
        total = _reduced(graph, node, "SUM", graph.op("EXP", [x], x.shape))
        return graph.op("LOG", [total], total.shape)
    if not axes:
        return x
    largest = reduce_over(graph, "REDUCE_MAX", x, axes, keep=True)
    largest = binary(graph, "MAXIMUM", largest, graph.constant(np.finfo(np.float32).min))
    powers = graph.op("EXP", [binary(graph, "SUB", x, largest)], x.shape)
    total = reduce_over(graph, "SUM", powers, axes, keep=True)
    result = binary(graph, "ADD", graph.op("LOG", [total], total.shape), largest)
    if int_attribute(node, "keepdims", 1):
        return result
    rest = tuple(dim for axis, dim in enumerate(x.shape or ()) if axis not in axes)
    return graph.op("SQUEEZE", [result], rest, squeezeDims=axes)
