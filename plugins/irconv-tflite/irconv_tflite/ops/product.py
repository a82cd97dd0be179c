"""Matrix products."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from irconv.runtime.base import Array
from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import float_attribute, given, int_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import NUMBERS, broadcast, compute_dtype
from irconv_tflite.ops.registry import emits

__all__: list[str] = []

_MATRIX = 2


@emits("MatMul")
def matmul(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX MatMul: FULLY_CONNECTED by a constant matrix, else BATCH_MATMUL.

    For integers, which have no kernel, products of all pairs are added up.
    """
    kind = compute_dtype(graph.dtype(node.inputs[0]), NUMBERS)
    left, right = (graph.read(value, kind) for value in node.inputs)
    left_rank, right_rank = (graph.rank(value) for value in node.inputs)
    by_constant = right.constant is not None and right_rank == _MATRIX and kind == "float32"
    if by_constant and left_rank >= _MATRIX and not _is_empty(left, right):
        weights = graph.transpose(right, [1, 0])
        graph.write(node.outputs[0], fully_connected(graph, left, weights, None))
        return
    if left_rank == 1:
        left = graph.op("EXPAND_DIMS", [left, graph.constant(np.int32(0))], (1, *left.shape))  # type: ignore[misc]
    if right_rank == 1:
        right = graph.op("EXPAND_DIMS", [right, graph.constant(np.int32(1))], (*right.shape, 1))  # type: ignore[misc]
    result = multiply(graph, left, right)
    dropped = [-2] * (left_rank == 1) + [-1] * (right_rank == 1)
    if dropped:
        shape = result.shape or ()
        axes = sorted(axis % len(shape) for axis in dropped)
        rest = tuple(dim for axis, dim in enumerate(shape) if axis not in axes)
        result = graph.op("SQUEEZE", [result], rest, squeezeDims=axes)
    graph.write(node.outputs[0], result)


def _is_empty(*tensors: Tensor) -> bool:
    return any(0 in (tensor.shape or ()) for tensor in tensors)


def multiply(graph: GraphWriter, left: Tensor, right: Tensor) -> Tensor:
    """Return the product of two stacks of matrices."""
    assert left.shape is not None
    assert right.shape is not None
    batch = broadcast(left.shape[:-2], right.shape[:-2]) or ()
    shape: Shape = (*batch, left.shape[-2], right.shape[-1])
    if _is_empty(left, right) and None not in shape:
        return graph.constant(np.zeros([dim or 0 for dim in shape], left.dtype))
    if left.dtype == "float32":
        return graph.op("BATCH_MATMUL", [left, right], shape, adjX=False, adjY=False)
    rank = len(shape)
    last = graph.constant(np.int32(-1))
    wide = graph.op("EXPAND_DIMS", [left, last], (*left.shape, 1))
    axis = graph.constant(np.int32(-3))
    tall = graph.op("EXPAND_DIMS", [right, axis], (*right.shape[:-2], 1, *right.shape[-2:]))
    products = binary(graph, "MUL", wide, tall)
    axes = graph.constant(np.array([rank - 1], np.int32))
    return graph.op("SUM", [products, axes], shape, keepDims=False)


def fully_connected(graph: GraphWriter, x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return x times the transpose of weights [outputs, inputs], plus bias.

    What is constant is computed here where that does not make the file larger: the state that an
    unrolled recurrent layer begins with is zero, and a quantizer takes it for weights.
    """
    assert x.shape is not None
    assert weights.shape is not None
    shape: Shape = (*x.shape[:-1], weights.shape[0])
    folded = _folded(graph, x, weights, bias, shape)
    if folded is not None:
        return folded
    return graph.op(
        "FULLY_CONNECTED",
        [x, weights, bias],
        shape,
        keepNumDims=True,
        fusedActivationFunction="NONE",
    )


def _folded(
    graph: GraphWriter, x: Tensor, weights: Tensor, bias: Tensor | None, shape: Shape
) -> Tensor | None:
    left, right = x.constant, weights.constant
    added = None if bias is None else bias.constant
    sizes = tuple(dim for dim in shape if dim is not None)
    known = left is not None and right is not None and len(sizes) == len(shape)
    if not known or (bias is not None and added is None):
        return None
    assert left is not None
    assert right is not None
    if math.prod(sizes) * np.dtype(x.dtype).itemsize > left.nbytes + right.nbytes:
        return None

    def compute() -> Array:
        product = left.load() @ right.load().T
        return product if added is None else product + added.load()

    return graph.deferred(compute, x.dtype, sizes)


@emits("Gemm")
def gemm(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Gemm: FULLY_CONNECTED by a constant matrix, else BATCH_MATMUL, MUL and ADD."""
    kind = compute_dtype(graph.dtype(node.inputs[0]), NUMBERS)
    for value in filter(None, node.inputs):
        graph.rank(value)
    left, right = (graph.read(value, kind) for value in node.inputs[:2])
    alpha, beta = float_attribute(node, "alpha", 1.0), float_attribute(node, "beta", 1.0)
    if int_attribute(node, "transA", 0):
        left = graph.transpose(left, [1, 0])
    transposed = bool(int_attribute(node, "transB", 0))
    added_value = given(node, 2)
    added = None if added_value is None else graph.read(added_value, kind)
    if right.constant is None or kind != "float32" or _is_empty(left, right):
        right = graph.transpose(right, [1, 0]) if transposed else right
        result = _scaled(graph, multiply(graph, left, right), alpha)
        added = None if added is None else _scaled(graph, added, beta)
        if added is not None:
            result = binary(graph, "ADD", result, added)
        graph.write(node.outputs[0], result)
        return
    weights = _scaled(graph, right if transposed else graph.transpose(right, [1, 0]), alpha)
    added = None if added is None else _scaled(graph, added, beta)
    outputs = (weights.shape or ())[0]
    bias = None
    if added is not None and added.constant is not None and _is_row(added.shape, outputs):
        bias, added = graph.reshape(added, [outputs or 0]), None
    result = fully_connected(graph, left, weights, bias)
    if added is not None:
        result = binary(graph, "ADD", result, added)
    graph.write(node.outputs[0], result)


def _is_row(shape: Shape | None, width: int | None) -> bool:
    return shape in ((width,), (1, width))


def _scaled(graph: GraphWriter, tensor: Tensor, factor: float) -> Tensor:
    if factor == 1.0:
        return tensor
    constant = tensor.constant
    if constant is not None:
        sizes = tuple(dim or 0 for dim in tensor.shape or ())
        return graph.derived(
            tensor, lambda array: (array * factor).astype(array.dtype), sizes, moves=False
        )
    if tensor.dtype == "float32":
        return binary(graph, "MUL", tensor, graph.constant(np.float32(factor)))
    scaled = binary(graph, "MUL", graph.cast(tensor, "float32"), graph.constant(np.float32(factor)))
    return graph.cast(scaled, tensor.dtype)
