"""Choosing between tensors, and ranges."""

from __future__ import annotations

import onnx_ir as ir

from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.carrying import MOVED, carry, restore
from irconv_tflite.ops.kinds import NUMBERS, broadcast, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import result_shape

__all__: list[str] = []


@emits("Where")
def where(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Where: SELECT_V2."""
    condition = graph.read(node.inputs[0], "bool")
    left, right = (carry(graph, value, (*MOVED, "bool")) for value in node.inputs[1:3])
    shape = broadcast(condition.shape, left.shape, right.shape)
    result = graph.op("SELECT_V2", [condition, left, right], shape, left.dtype)
    restore(graph, node.outputs[0], result)


@emits("Range")
def range_(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Range: RANGE."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    bounds = [graph.reshape(graph.read(value, kind), []) for value in node.inputs]
    graph.write(node.outputs[0], graph.op("RANGE", bounds, result_shape(graph, node)))
