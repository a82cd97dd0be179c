"""Finding the weights of a model: the constant operands of its linear operators."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.walk import subgraphs_of
from irconv.passes.base import Refusal
from irconv.runtime.base import Array

__all__ = ["CHUNK_ELEMENTS", "Weight", "chunks", "find_weights"]

CHUNK_ELEMENTS = 1 << 20
"""Elements that are worked on at a time, so that temporaries stay small."""

_FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


@dataclass(frozen=True)
class Weight:
    """A constant tensor that linear operators read.

    Attributes:
        value: The initializer, or the output of a Constant node.
        tensor: Its data.
        axis: The axis that runs over output channels; None where there is none.
        node: The first node that reads it as a weight.
        anchor: The node of the value's own graph that is, or holds, the first of all its readers.
    """

    value: ir.Value
    tensor: ir.TensorProtocol
    axis: int | None
    node: ir.Node
    anchor: ir.Node

    @property
    def graph(self) -> ir.Graph:
        """The graph that owns the value."""
        graph = self.value.graph
        assert isinstance(graph, ir.Graph)
        return graph

    @property
    def name(self) -> str:
        """Name of the value."""
        assert self.value.name is not None
        return self.value.name

    def refusal(self, reason: str) -> Refusal:
        """Return why this weight was left alone."""
        return Refusal(self.node.name or "", self.node.op_type, f"weight {self.name!r}: {reason}")


def find_weights(
    model: ir.Model,
    *,
    min_elements: int,
    skip: Sequence[str] = (),
    embeddings: bool = True,
) -> tuple[list[Weight], list[Refusal]]:
    """Find each distinct weight of MatMul, Gemm, Conv, ConvTranspose and Gather once.

    Weights are constants of floating-point dtype that no caller can override. Local functions
    can hold no initializers, so only the main graph and its bodies are searched.

    Args:
        model: The model.
        min_elements: Smaller weights are left alone.
        skip: Patterns of node names, as in a shell; a weight is left alone if any node that
            reads it as a weight matches one of them.
        embeddings: Whether the table that a Gather reads rows from is a weight.

    Returns:
        The weights in the order of their first reader, and why others were left out.
    """
    found: dict[ir.Value, Weight] = {}
    refused: dict[ir.Value, Refusal] = {}
    anchors: dict[ir.Value, ir.Node] = {}
    for node, holders in _walk(model.graph, {}):
        for operand in node.inputs:
            if operand is not None and isinstance(operand.graph, ir.Graph):
                anchors.setdefault(operand, holders[operand.graph])
        place = _weight_input(node, embeddings)
        if place is None:
            continue
        value, axis = place
        reason = _why_not(node, value, min_elements, skip)
        if reason is None:
            if value not in found:
                tensor = constant_tensor(value)
                assert tensor is not None
                found[value] = Weight(value, tensor, axis, node, anchors[value])
        elif value not in refused:
            refused[value] = Refusal(node.name or "", node.op_type, reason)
    weights = [weight for value, weight in found.items() if value not in refused]
    return weights, list(refused.values())


def _walk(
    graph: ir.Graph, holders: dict[ir.Graph, ir.Node]
) -> Iterator[tuple[ir.Node, dict[ir.Graph, ir.Node]]]:
    for node in graph:
        here = {**holders, graph: node}
        yield node, here
        for body in subgraphs_of(node):
            yield from _walk(body, here)


def _weight_input(node: ir.Node, embeddings: bool) -> tuple[ir.Value, int | None] | None:
    """Return the weight operand of a node and its output-channel axis.

    The axis is that of the ONNX operator specification: Conv holds (M, C/group, ...),
    ConvTranspose (C, M/group, ...), Gemm (K, N) or its transpose, MatMul (..., K, N).
    """
    if node.domain not in ("", "ai.onnx") or not node.inputs:
        return None
    second = node.inputs[1] if len(node.inputs) > 1 else None
    if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        if second is None:
            return None
        transposed = node.attributes.get_int("transB", 0) if node.op_type == "Gemm" else None
        axis = 0 if node.op_type == "Conv" or transposed else 1
        return second, axis
    if node.op_type == "MatMul":
        for value, back in ((second, 1), (node.inputs[0], 2)):
            if value is not None and (is_constant(value) or _is_dequantized(value)):
                rank = _rank(value)
                return value, rank - back if rank >= 2 else None
        return None if second is None else (second, None)
    if node.op_type == "Gather" and embeddings:
        table = node.inputs[0]
        if table is not None and is_constant(table) and _rank(table) == 2:
            return (table, 0) if node.attributes.get_int("axis", 0) == 0 else None
    return None


def _is_dequantized(value: ir.Value) -> bool:
    """Say whether a value is a weight that is stored quantized."""
    producer = value.producer()
    return (
        producer is not None
        and producer.op_type == "DequantizeLinear"
        and is_constant(producer.inputs[0])
    )


def _rank(value: ir.Value) -> int:
    tensor = constant_tensor(value)
    return 0 if tensor is None else len(tensor.shape)


def _why_not(node: ir.Node, value: ir.Value, min_elements: int, skip: Sequence[str]) -> str | None:
    if value.is_initializer() and value.is_graph_input():
        return f"its weight {value.name!r} is a graph input that a caller may override"
    tensor = constant_tensor(value)
    if tensor is None:
        return f"its weight {value.name!r} is computed, not constant"
    producer = value.producer()
    if producer is not None and "value" not in producer.attributes:
        return f"its weight {value.name!r} is a Constant without a tensor"
    if tensor.dtype not in _FLOATS:
        return f"its weight {value.name!r} is of dtype {tensor.dtype}"
    if value.is_graph_output():
        return f"its weight {value.name!r} is also a graph output"
    if tensor.size < min_elements:
        return f"its weight {value.name!r} has {tensor.size} elements, fewer than {min_elements}"
    pattern = next((glob for glob in skip if fnmatch.fnmatchcase(node.name or "", glob)), None)
    return f"the node's name matches skip={pattern!r}" if pattern is not None else None


def chunks(array: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the first axis, each of about :data:`CHUNK_ELEMENTS` elements.

    A scalar comes as one chunk of shape (1,).
    """
    array = np.atleast_1d(array)
    rows = max(1, CHUNK_ELEMENTS // max(1, array[:1].size))
    for start in range(0, array.shape[0], rows):
        part = slice(start, min(start + rows, array.shape[0]))
        yield part, array[part]
