"""Sorting, ranking, running sums, and the places of elements."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import NUMBERS, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import result_shape, shape_of

__all__ = ["to_last", "top_k"]

_ARG_DTYPES = ("float32", "int32", "int8", "uint8")


def to_last(rank: int, axis: int) -> list[int]:
    """Return the permutation that swaps an axis with the last; it undoes itself."""
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    return order


@emits("ArgMax", "ArgMin")
def arg(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ArgMax, ArgMin: ARG_MAX, ARG_MIN, which choose the first of equal elements."""
    if int_attribute(node, "select_last_index", 0):
        raise RefusalError(
            "UNSUPPORTED_FORM", "TFLite chooses the first of equal elements", "drop the attribute"
        )
    dtype = graph.dtype(node.inputs[0])
    wider = {"int16": "int32", "uint16": "int32"}
    x = graph.read(node.inputs[0], wider.get(dtype) or compute_dtype(dtype, _ARG_DTYPES))
    assert x.shape is not None
    axis = int_attribute(node, "axis", 0) % len(x.shape)
    place = graph.constant(np.int32(axis))
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    code = "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN"
    result = graph.op(code, [x, place], shape, "int64", outputType="int64")
    if int_attribute(node, "keepdims", 1):
        kept = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        result = graph.op("EXPAND_DIMS", [result, place], kept)
    graph.write(node.outputs[0], result)


@emits("TopK")
def top_k_of(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX TopK: TOPK_V2 along the last axis, of the negated elements for the smallest."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    x = graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS))
    assert x.shape is not None
    rank = len(x.shape)
    order = to_last(rank, int_attribute(node, "axis", -1) % rank)
    x = graph.transpose(x, order)
    known = graph.ints(node.inputs[1])
    if known is None:
        count = graph.reshape(graph.read(node.inputs[1], "int32"), [])
    else:
        count = graph.constant(np.int32(known[0]))
    size = known[0] if known else None
    largest = bool(int_attribute(node, "largest", 1))
    values, places = top_k(graph, x, count, size, largest=largest)
    for value, tensor in zip(node.outputs, (values, places), strict=False):
        if value.name:
            graph.write(value, graph.transpose(tensor, order))


def top_k(
    graph: GraphWriter, x: Tensor, count: Tensor, size: int | None, *, largest: bool
) -> tuple[Tensor, Tensor]:
    """Return the ``count`` largest or smallest elements along the last axis, and their places.

    Args:
        graph: Where to add operators.
        x: A tensor.
        count: How many; an int32 scalar.
        size: The same, where it is known.
        largest: Whether the largest.
    """
    assert x.shape is not None
    shape: Shape = (*x.shape[:-1], size)
    if not largest:
        x = _mirrored(graph, x)
    values, places = graph.ops("TOPK_V2", [x, count], [(x.dtype, shape), ("int32", shape)])
    if not largest:
        values = _mirrored(graph, values)
    return values, places


def _mirrored(graph: GraphWriter, x: Tensor) -> Tensor:
    """Return what is in the opposite order: -x, and -1 - x for integers, which cannot overflow."""
    if x.dtype == "float32":
        return graph.op("NEG", [x], x.shape)
    return binary(graph, "SUB", graph.constant(np.array(-1, x.dtype)), x)


@emits("CumSum")
def cumulative_sum(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX CumSum: CUMSUM."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    x = graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS))
    axis = graph.fixed_ints(node.inputs[1], "the axis")[0] % graph.rank(node.inputs[0])
    result = graph.op(
        "CUMSUM",
        [x, graph.constant(np.int32(axis))],
        x.shape,
        exclusive=bool(int_attribute(node, "exclusive", 0)),
        reverse=bool(int_attribute(node, "reverse", 0)),
    )
    graph.write(node.outputs[0], result)


@emits("NonZero")
def non_zero(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX NonZero: WHERE, transposed."""
    rank = graph.rank(node.inputs[0])
    if rank == 0:
        raise RefusalError("RANK_LIMIT", "TFLite's WHERE takes no scalar", "reshape it to [1]")
    mask = graph.read(node.inputs[0])
    if mask.dtype != "bool":
        mask = graph.cast(mask, compute_dtype(mask.dtype, NUMBERS))
        mask = binary(graph, "NOT_EQUAL", mask, graph.constant(np.zeros((), mask.dtype)), "bool")
    places = graph.op("WHERE", [mask], (None, rank), "int64")
    graph.write(node.outputs[0], graph.transpose(places, [1, 0]))


@emits("Unique")
def unique(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Unique of a whole tensor: UNIQUE, TOPK_V2 to sort, comparisons for the rest."""
    rank = graph.rank(node.inputs[0])
    if "axis" in node.attributes and rank != 1:
        raise RefusalError(
            "UNSUPPORTED_FORM", "TFLite finds unique elements, not unique slices", "flatten it"
        )
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    x = graph.reshape(graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS)), [-1])
    found, _ = graph.ops(
        "UNIQUE", [x], [(x.dtype, (None,)), ("int32", x.shape)], idxOutType="int32"
    )
    if int_attribute(node, "sorted", 1):
        count = graph.reshape(shape_of(graph, found), [])
        found, _ = top_k(graph, found, count, None, largest=False)
    graph.write(node.outputs[0], found)
    rest = [value for value in node.outputs[1:] if value.name]
    if not rest:
        return
    column = graph.op("EXPAND_DIMS", [found, graph.constant(np.int32(1))], (None, 1))
    length = None if x.shape is None else x.shape[0]
    same = graph.op("EQUAL", [column, x], (None, length), "bool")
    hits = graph.cast(same, "int32")
    for index, value in enumerate(node.outputs[1:]):
        if value.name:
            graph.write(value, _of_hits(graph, hits, index, length))


def _of_hits(graph: GraphWriter, hits: Tensor, index: int, length: int | None) -> Tensor:
    """Return first places, inverse places, or counts, by rows of which elements are equal."""
    axis = graph.constant(np.int32(1 if index != 1 else 0))
    shape: Shape = (length,) if index == 1 else (None,)
    if index == 2:
        return graph.op("SUM", [hits, axis], shape, keepDims=False)
    return graph.op("ARG_MAX", [hits, axis], shape, "int64", outputType="int64")


@emits("LpNormalization")
def lp_normalization(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX LpNormalization: x divided by its L1 or L2 norm along an axis; 0 where that is 0."""
    x = graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), ("float32",)))
    assert x.shape is not None
    axis = int_attribute(node, "axis", -1) % len(x.shape)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    is_square = int_attribute(node, "p", 2) == 2
    powers = binary(graph, "MUL", x, x) if is_square else graph.op("ABS", [x], x.shape)
    places = graph.constant(np.array([axis], np.int32))
    norm = graph.op("SUM", [powers, places], shape, keepDims=True)
    if is_square:
        norm = graph.op("SQRT", [norm], shape)
    zero = graph.constant(np.float32(0))
    empty = binary(graph, "EQUAL", norm, zero, "bool")
    one = graph.constant(np.float32(1))
    safe = graph.op("SELECT_V2", [empty, one, norm], shape, "float32")
    graph.write(node.outputs[0], binary(graph, "DIV", x, safe))


@emits("BitCast")
def bit_cast(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX BitCast: BITCAST."""
    x = graph.read(node.inputs[0])
    dtype = graph.dtype(node.outputs[0])
    graph.write(node.outputs[0], graph.op("BITCAST", [x], result_shape(graph, node), dtype))
