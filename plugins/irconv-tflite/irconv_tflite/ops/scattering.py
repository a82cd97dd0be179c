"""Writing updates to places of a tensor."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute, text_attribute
from irconv_tflite.ops.carrying import carry, restore
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import compute_dtype
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import shape_of

__all__: list[str] = []

_MOVED = ("float32", "int64", "int32", "int8", "uint8", "bool")
_BY_CAST = ("float16", "bfloat16", "int16", "uint16")
_SEGMENTS = {
    "add": ("UNSORTED_SEGMENT_SUM", "ADD"),
    "mul": ("UNSORTED_SEGMENT_PROD", "MUL"),
    "max": ("UNSORTED_SEGMENT_MAX", "MAXIMUM"),
    "min": ("UNSORTED_SEGMENT_MIN", "MINIMUM"),
}
_SEGMENT_DTYPES = ("float32", "int32")


@emits("ScatterND")
def scatter_nd(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ScatterND: SCATTER_ND and SELECT_V2; UNSORTED_SEGMENT_* for reductions."""
    depth = graph.shape(node.inputs[1])[-1]
    if depth is None:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "how many dimensions are indexed is known only when the model runs",
            "bind the shape of the indices with --shape",
        )
    reduction = text_attribute(node, "reduction", "none")
    if reduction != "none":
        sizes = graph.static_shape(node.inputs[0])
        places = _flat_places(graph, node.inputs[1], sizes[:depth])
        _reduce(graph, node, places, sizes, depth, reduction)
        return
    data, updates = _moved(graph, node.inputs[0]), _moved(graph, node.inputs[2])
    index = _counted_from_start(graph, graph.read(node.inputs[1], "int32"), data, depth)
    _place(graph, node, data, index, updates, shape_of(graph, data))


def _place(
    graph: GraphWriter,
    node: ir.Node,
    data: Tensor,
    index: Tensor,
    updates: Tensor,
    sizes: Tensor,
) -> None:
    """Write ``data`` with the updates at the places, the flat shape given back at the end."""
    if updates.dtype == "bool":
        data, updates = graph.cast(data, "uint8"), graph.cast(updates, "uint8")
    ones = _ones_like(graph, updates)
    scattered = graph.op("SCATTER_ND", [index, updates, sizes], data.shape, updates.dtype)
    hits = graph.op("SCATTER_ND", [index, ones, sizes], data.shape, "int32")
    hit = binary(graph, "GREATER", hits, graph.constant(np.int32(0)), "bool")
    result = graph.op("SELECT_V2", [hit, scattered, data], data.shape, data.dtype)
    target = node.outputs[0]
    shape = graph.shape(target)
    if len(shape) != len(result.shape or ()):
        result = graph.reshape(result, [dim or 0 for dim in shape])
    if graph.dtype(target) in (*_BY_CAST, "bool"):
        graph.write(target, result)
    else:
        restore(graph, target, result)


def _moved(graph: GraphWriter, value: ir.Value | None) -> Tensor:
    dtype = graph.dtype(value)
    if dtype in _BY_CAST:
        return graph.read(value, compute_dtype(dtype, _MOVED))
    return carry(graph, value, _MOVED)


def _ones_like(graph: GraphWriter, tensor: Tensor) -> Tensor:
    if tensor.is_static:
        return graph.constant(np.ones([dim or 0 for dim in tensor.shape or ()], np.int32))
    one = graph.constant(np.int32(1))
    return graph.op("FILL", [shape_of(graph, tensor), one], tensor.shape, "int32")


def _counted_from_start(graph: GraphWriter, index: Tensor, data: Tensor, depth: int) -> Tensor:
    if index.constant is not None:
        known = index.constant.load()
        if (known >= 0).all():
            return index
    bounds = [graph.constant(np.array([item], np.int32)) for item in (0, depth)]
    if data.is_static:
        limits = graph.constant(np.array((data.shape or ())[:depth], np.int32))
    else:
        limits = graph.op("SLICE", [shape_of(graph, data), *bounds], (depth,))
    return _wrapped(graph, index, limits)


def _wrapped(graph: GraphWriter, index: Tensor, limits: Tensor) -> Tensor:
    below = binary(graph, "LESS", index, graph.constant(np.int32(0)), "bool")
    raised = binary(graph, "ADD", index, limits)
    return graph.op("SELECT_V2", [below, raised, index], index.shape, "int32")


def _flat_places(graph: GraphWriter, value: ir.Value | None, sizes: tuple[int, ...]) -> Tensor:
    """Return places in flattened dimensions, for tuples of indices along the last axis."""
    index = graph.read(value, "int32")
    index = _wrapped(graph, index, graph.constant(np.array(sizes, np.int32)))
    products = binary(graph, "MUL", index, graph.constant(_strides(sizes)))
    assert index.shape is not None
    axis = graph.constant(np.array([len(index.shape) - 1], np.int32))
    return graph.op("SUM", [products, axis], index.shape[:-1], keepDims=False)


def _strides(sizes: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(
        [int(np.prod(sizes[axis + 1 :], dtype=np.int64)) for axis in range(len(sizes))], np.int32
    )


def _reduce(
    graph: GraphWriter,
    node: ir.Node,
    places: Tensor,
    sizes: tuple[int, ...],
    depth: int,
    reduction: str,
) -> None:
    """Combine the updates of each place, then these with the data."""
    kind = compute_dtype(graph.dtype(node.inputs[0]), _SEGMENT_DTYPES)
    data, updates = (graph.read(node.inputs[index], kind) for index in (0, 2))
    rows = int(np.prod(sizes[:depth], dtype=np.int64))
    width = int(np.prod(sizes[depth:], dtype=np.int64))
    if not rows * width:
        raise RefusalError("UNSUPPORTED_FORM", "there is nothing to scatter into", "leave it out")
    segments = graph.reshape(places, [-1])
    count = None if segments.shape is None else segments.shape[0]
    if count is None:
        flat_sizes = graph.constant(np.array([-1, width], np.int32))
        table = graph.op("RESHAPE", [updates, flat_sizes], (None, width))
    else:
        table = graph.reshape(updates, [count, width])
    code, combine = _SEGMENTS[reduction]
    total = graph.constant(np.int32(rows))
    shape: Shape = (rows, width)
    combined = graph.op(code, [table, segments, total], shape, kind)
    result = binary(graph, combine, graph.reshape(data, [rows, width]), combined)
    graph.write(node.outputs[0], graph.reshape(result, list(sizes)))


@emits("ScatterElements")
def scatter_elements(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ScatterElements: as ScatterND, by places in the flattened tensor."""
    sizes = graph.static_shape(node.inputs[0])
    counts = graph.static_shape(node.inputs[1])
    axis = int_attribute(node, "axis", 0) % max(len(sizes), 1)
    index = graph.read(node.inputs[1], "int32")
    index = _wrapped(graph, index, graph.constant(np.int32(sizes[axis])))
    strides = _strides(sizes)
    base = np.zeros(counts, np.int32)
    for dim, count in enumerate(counts):
        if dim != axis:
            shape = [count if other == dim else 1 for other in range(len(counts))]
            base = base + np.arange(count, dtype=np.int32).reshape(shape) * strides[dim]
    moved = binary(graph, "MUL", index, graph.constant(np.int32(strides[axis])))
    places = binary(graph, "ADD", moved, graph.constant(base.astype(np.int32)))
    reduction = text_attribute(node, "reduction", "none")
    if reduction != "none":
        _reduce(graph, node, places, sizes, len(sizes), reduction)
        return
    total = int(np.prod(sizes, dtype=np.int64))
    data = graph.reshape(_moved(graph, node.inputs[0]), [total])
    updates = graph.reshape(_moved(graph, node.inputs[2]), [-1])
    flat = graph.reshape(places, [int(np.prod(counts, dtype=np.int64)), 1])
    _place(graph, node, data, flat, updates, graph.constant(np.array([total], np.int32)))
