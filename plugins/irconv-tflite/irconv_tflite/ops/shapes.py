"""Operators that read, compute or change shapes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute, ints_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.registry import emits

__all__ = ["dim_vector", "result_shape", "shape_of"]

_INT32_MAX = 2**31 - 1


def result_shape(graph: GraphWriter, node: ir.Node, index: int = 0) -> Shape | None:
    """Return what is known of the shape of a result; None where its rank is unknown."""
    value = node.outputs[index]
    return None if value.shape is None else graph.shape(value)


def shape_of(graph: GraphWriter, tensor: Tensor, dtype: str = "int32") -> Tensor:
    """Return the shape of a tensor as a vector, a constant where it is known."""
    if tensor.is_static:
        return graph.constant(np.array(tensor.shape, dtype))
    rank = None if tensor.shape is None else len(tensor.shape)
    return graph.op("SHAPE", [tensor], (rank,), dtype, outType=dtype)


def dim_vector(graph: GraphWriter, value: ir.Value | None) -> Tensor:
    """Return an ONNX shape or list of indices (int64) as the int32 vector that kernels take."""
    items = graph.ints(value)
    if items is not None:
        clipped = np.clip(items, -_INT32_MAX - 1, _INT32_MAX).astype(np.int32)
        return graph.constant(clipped)
    return graph.read(value, "int32")


@emits("Shape")
def shape(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Shape: SHAPE, and SLICE for a part of it."""
    x = graph.read(node.inputs[0])
    rank = graph.rank(node.inputs[0])
    start, stop, _ = slice(
        int_attribute(node, "start", 0), int_attribute(node, "end", rank)
    ).indices(rank)
    whole = shape_of(graph, x, "int64")
    count = max(stop - start, 0)
    if count == rank:
        graph.write(node.outputs[0], whole)
    elif whole.constant is not None:
        sizes = np.array((x.shape or ())[start : start + count], np.int64)
        graph.write(node.outputs[0], graph.constant(sizes))
    else:
        bounds = [graph.constant(np.array([item], np.int32)) for item in (start, count)]
        graph.write(node.outputs[0], graph.op("SLICE", [whole, *bounds], (count,)))


@emits("Size")
def size(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Size: REDUCE_PROD of the shape."""
    sizes = shape_of(graph, graph.read(node.inputs[0]), "int64")
    axes = graph.constant(np.array([0], np.int32))
    graph.write(node.outputs[0], graph.op("REDUCE_PROD", [sizes, axes], (), keepDims=False))


@emits("Reshape")
def reshape(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Reshape: RESHAPE; a size of 0 is copied from the input's shape."""
    x = graph.read(node.inputs[0])
    target = result_shape(graph, node)
    if target is not None and None not in target:
        _write_reshaped(graph, node, x, [dim or 0 for dim in target])
        return
    sizes = graph.ints(node.inputs[1])
    copies_zero = not int_attribute(node, "allowzero", 0)
    if sizes is None:
        wanted = graph.read(node.inputs[1], "int32")
        if copies_zero:
            wanted = _copy_zeros(graph, x, wanted)
        graph.write(node.outputs[0], graph.op("RESHAPE", [x, wanted], target))
        return
    dynamic = [index for index, item in enumerate(sizes) if item == 0 and copies_zero]
    fixed = list(sizes)
    for index in list(dynamic):
        known = None if x.shape is None else x.shape[index]
        if known is not None:
            fixed[index] = known
            dynamic.remove(index)
    if len(dynamic) == 1 and -1 not in fixed:
        fixed[dynamic.pop()] = -1
    if not dynamic:
        wanted = graph.constant(np.array(fixed, np.int32))
    else:
        wanted = _copy_zeros(graph, x, graph.constant(np.array(fixed, np.int32)))
    graph.write(node.outputs[0], graph.op("RESHAPE", [x, wanted], target))


def _copy_zeros(graph: GraphWriter, x: Tensor, wanted: Tensor) -> Tensor:
    """Replace each 0 in a vector of sizes by the size of ``x`` at that place."""
    if x.shape is None or wanted.shape is None or wanted.shape[0] is None:
        raise RefusalError(
            "UNKNOWN_RANK",
            "a reshape whose sizes are computed needs to know how many there are",
            "give the exporter static shapes",
        )
    count = wanted.shape[0]
    own = shape_of(graph, x)
    rank = len(x.shape)
    if rank > count:
        bounds = [graph.constant(np.array([item], np.int32)) for item in (0, count)]
        own = graph.op("SLICE", [own, *bounds], (count,))
    elif rank < count:
        pads = graph.constant(np.array([[0, count - rank]], np.int32))
        own = graph.op("PAD", [own, pads], (count,))
    zero = binary(graph, "EQUAL", wanted, graph.constant(np.int32(0)), "bool")
    return graph.op("SELECT_V2", [zero, own, wanted], (count,), "int32")


def _write_reshaped(graph: GraphWriter, node: ir.Node, x: Tensor, sizes: list[int]) -> None:
    graph.write(node.outputs[0], graph.reshape(x, sizes))


@emits("Flatten")
def flatten(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Flatten: RESHAPE."""
    x = graph.read(node.inputs[0])
    dims = graph.shape(node.inputs[0])
    axis = int_attribute(node, "axis", 1) % max(len(dims), 1) if dims else 0
    if int_attribute(node, "axis", 1) == len(dims):
        axis = len(dims)
    parts = [dims[:axis], dims[axis:]]
    known = [
        None if None in part else int(np.prod([dim or 0 for dim in part], dtype=np.int64))
        for part in parts
    ]
    if None not in known:
        graph.write(node.outputs[0], graph.reshape(x, [item or 0 for item in known]))
        return
    if known[0] is None and known[1] is None:
        sizes = shape_of(graph, x)
        pieces = []
        for start, count in ((0, axis), (axis, len(dims) - axis)):
            bounds = [graph.constant(np.array([item], np.int32)) for item in (start, count)]
            piece = graph.op("SLICE", [sizes, *bounds], (count,))
            axes = graph.constant(np.array([0], np.int32))
            pieces.append(graph.op("REDUCE_PROD", [piece, axes], (1,), keepDims=True))
        wanted = graph.op("CONCATENATION", pieces, (2,), axis=0)
    else:
        wanted = graph.constant(np.array([-1 if item is None else item for item in known], "int32"))
    graph.write(node.outputs[0], graph.op("RESHAPE", [x, wanted], tuple(known)))


@emits("Squeeze", "Unsqueeze")
def squeeze(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Squeeze: SQUEEZE; Unsqueeze: EXPAND_DIMS, one after another; RESHAPE if static."""
    x = graph.read(node.inputs[0])
    target = result_shape(graph, node)
    if target is not None and None not in target and x.is_static:
        _write_reshaped(graph, node, x, [dim or 0 for dim in target])
        return
    shape = graph.shape(node.inputs[0])
    axes_value = given(node, 1)
    axes = (
        tuple(axis for axis, dim in enumerate(shape) if dim == 1)
        if axes_value is None
        else graph.fixed_ints(axes_value, "the axes")
    )
    if node.op_type == "Squeeze":
        if axes_value is None and None in shape:
            raise RefusalError(
                "DYNAMIC_SHAPE",
                "which dimensions are squeezed depends on sizes that only the run knows",
                "give the axes, or bind the dimensions with --shape",
            )
        dropped = sorted(axis % len(shape) for axis in axes)
        rest = tuple(dim for axis, dim in enumerate(shape) if axis not in dropped)
        graph.write(node.outputs[0], graph.op("SQUEEZE", [x], rest, squeezeDims=dropped))
        return
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        assert x.shape is not None
        wider = (*x.shape[:axis], 1, *x.shape[axis:])
        x = graph.op("EXPAND_DIMS", [x, graph.constant(np.int32(axis))], wider)
    graph.write(node.outputs[0], x)


@emits("Transpose")
def transpose(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Transpose: TRANSPOSE."""
    rank = graph.rank(node.inputs[0])
    permutation = ints_attribute(node, "perm") or list(range(rank))[::-1]
    graph.write(node.outputs[0], graph.transpose(graph.read(node.inputs[0]), permutation))


@emits("Expand")
def expand(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Expand: BROADCAST_TO the shape that both broadcast to."""
    x = graph.read(node.inputs[0])
    target = result_shape(graph, node)
    if target is not None and None not in target:
        if x.shape == target:
            graph.write(node.outputs[0], x)
            return
        wanted = graph.constant(np.array(target, np.int32))
        graph.write(node.outputs[0], graph.op("BROADCAST_TO", [x, wanted], target))
        return
    wanted = dim_vector(graph, node.inputs[1])
    own = shape_of(graph, x)
    both = graph.op("BROADCAST_ARGS", [own, wanted], (None if target is None else len(target),))
    graph.write(node.outputs[0], graph.op("BROADCAST_TO", [x, both], target))


@emits("Tile")
def tile(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Tile: TILE."""
    x = graph.read(node.inputs[0])
    repeats = dim_vector(graph, node.inputs[1])
    graph.write(node.outputs[0], graph.op("TILE", [x, repeats], result_shape(graph, node)))


@emits("ConstantOfShape")
def constant_of_shape(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ConstantOfShape: FILL."""
    attribute = node.attributes.get("value")
    fill = np.float32(0) if attribute is None else attribute.as_tensor().numpy().reshape(())
    sizes = dim_vector(graph, node.inputs[0])
    scalar = graph.constant(np.asarray(fill), graph.dtype(node.outputs[0]))
    result = graph.op("FILL", [sizes, scalar], result_shape(graph, node), scalar.dtype)
    graph.write(node.outputs[0], result)
