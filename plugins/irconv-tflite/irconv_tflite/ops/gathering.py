"""Gathering by indices."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute
from irconv_tflite.ops.carrying import MOVED, carry, restore
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import shape_of

__all__ = ["from_start"]

_EAGER_BYTES = 1 << 20


@emits("Gather")
def gather(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Gather: GATHER, with indices counted from the start."""
    x = carry(graph, node.inputs[0], (*MOVED, "bool"))
    dims = graph.shape(node.inputs[0])
    axis = int_attribute(node, "axis", 0) % len(dims)
    index = from_start(graph, node.inputs[1], x, axis)
    shape: Shape | None = None
    if index.shape is not None:
        shape = (*dims[:axis], *index.shape, *dims[axis + 1 :])
    restore(graph, node.outputs[0], graph.op("GATHER", [x, index], shape, axis=axis, batchDims=0))


def from_start(graph: GraphWriter, value: ir.Value | None, x: Tensor, axis: int) -> Tensor:
    """Return indices along an axis of ``x``, negative ones counted from its end replaced."""
    known = graph.array(value)
    size = None if x.shape is None else x.shape[axis]
    if known is not None and known.nbytes <= _EAGER_BYTES:
        if (known >= 0).all():
            return graph.read(value, "int32") if known.size else graph.read(value)
        if size is not None:
            return graph.constant(np.where(known < 0, known + size, known).astype(np.int32))
    index = graph.read(value)
    dtype = index.dtype
    if size is None:
        begin, count = (graph.constant(np.array([item], np.int32)) for item in (axis, 1))
        whole = shape_of(graph, x, dtype)
        length = graph.reshape(graph.op("SLICE", [whole, begin, count], (1,)), [])
    else:
        length = graph.constant(np.array(size, dtype))
    below = binary(graph, "LESS", index, graph.constant(np.zeros((), dtype)), "bool")
    wrapped = binary(graph, "ADD", index, length)
    return graph.op("SELECT_V2", [below, wrapped, index], index.shape, dtype)


@emits("GatherND")
def gather_nd(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX GatherND without batch dimensions: GATHER_ND."""
    if int_attribute(node, "batch_dims", 0):
        raise RefusalError(
            "UNSUPPORTED_FORM", "GATHER_ND has no batch dimensions", "use Gather of flat indices"
        )
    x = carry(graph, node.inputs[0], (*MOVED, "bool"))
    dims = graph.shape(node.inputs[0])
    places = graph.shape(node.inputs[1])
    depth = places[-1]
    if depth is None:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "how many dimensions are indexed is known only when the model runs",
            "bind the shape of the indices with --shape",
        )
    index = graph.read(node.inputs[1])
    sizes = shape_of(graph, x, index.dtype)
    if sizes.constant is not None:
        limits = graph.constant(np.array(dims[:depth], index.dtype))
    else:
        bounds = [graph.constant(np.array([item], np.int32)) for item in (0, depth)]
        limits = graph.op("SLICE", [sizes, *bounds], (depth,))
    below = binary(graph, "LESS", index, graph.constant(np.zeros((), index.dtype)), "bool")
    wrapped = binary(graph, "ADD", index, limits)
    index = graph.op("SELECT_V2", [below, wrapped, index], index.shape, index.dtype)
    shape = (*places[:-1], *dims[depth:])
    restore(graph, node.outputs[0], graph.op("GATHER_ND", [x, index], shape))
