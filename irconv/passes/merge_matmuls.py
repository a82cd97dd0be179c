"""Merging of products by constant matrices, one after another.

Products of matrices are associative: (x U) V = x (U V). With a bias between, which MatMul and Add
give, (x U + b) V = x (U V) + b V. The product of the weights is computed in float64 and cast once.
It takes their place only where it is no larger than both, since then the run does no more
multiplications than before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.scales.factor import FLOATS
from irconv.passes.scales.pull import is_shared

__all__ = ["MergeMatmuls"]


@dataclass(frozen=True)
class _Match:
    """The product before a product, the sum between, and the index of its constant."""

    inner: ir.Node
    sum: ir.Node | None
    bias: int


@dataclass(frozen=True)
class MergeMatmuls(NodeRewrite[_Match]):
    """Multiply once by the product of two constant matrices, with a sum between or without.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 2] y)
        <float[2, 2] u = {1.0, 2.0, 3.0, 4.0}, float[2] b = {1.0, -1.0},
         float[2, 2] v = {0.0, 1.0, 1.0, 0.0}> {
            p = MatMul(x, u)
            s = Add(p, b)
            y = MatMul(s, v)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 2] y)
        <float[2, 2] v_merged = {2.0, 1.0, 4.0, 3.0}, float[2] b_merged = {-1.0, 1.0}> {
            p_merged = MatMul(x, v_merged)
            y = Add(p_merged, b_merged)
        }
    """

    name: ClassVar[str] = "merge-matmuls"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "fold-layouts", "unflatten-matmuls")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"MatMul"})

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return the product before a product; see :class:`NodeRewrite`."""
        del place
        return _match(node)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Multiply by the product of the weights; linear in its multiplications."""
        _merge(node, match, place)


def _match(node: ir.Node) -> _Match | str | None:
    if _matrix(node) is None:
        return None
    between = node.inputs[0]
    total = None if between is None else between.producer()
    if between is None or total is None or total.domain != "" or is_constant(between):
        return None
    inner, bias = total, 0
    if total.op_type == "Add" and len(total.inputs) == 2:
        bias = 0 if is_constant(total.inputs[0]) else 1
        vector, value = constant_tensor(total.inputs[bias]), total.inputs[1 - bias]
        producer = None if value is None else value.producer()
        if vector is None or len(vector.shape) != 1 or producer is None:
            return None
        inner = producer
    if _matrix(inner) is None:
        return None
    steps = [inner] if inner is total else [inner, total]
    return _obstacle(node, steps) or _Match(inner, None if inner is total else total, bias)


def _matrix(node: ir.Node) -> ir.TensorProtocol | None:
    """Return the constant matrix that a MatMul multiplies by."""
    if node.op_type != "MatMul" or node.domain != "" or is_constant(node.inputs[0]):
        return None
    tensor = constant_tensor(node.inputs[1])
    fits = tensor is not None and len(tensor.shape) == 2 and tensor.dtype in FLOATS
    return tensor if fits else None


def _obstacle(node: ir.Node, steps: list[ir.Node]) -> str:
    for step in steps:
        value = step.outputs[0]
        if step.graph is not node.graph or value.is_graph_output() or len(value.uses()) != 1:
            return f"{value.name!r} has other readers"
    first, second = _matrix(steps[0]), _matrix(node)
    assert first is not None
    assert second is not None
    if any(is_shared(item.inputs[1]) for item in (steps[0], node)):
        return "one of the weights has other readers"
    rows, inner = first.shape.numpy()
    columns = second.shape.numpy()[1]
    if rows * columns > rows * inner + inner * columns:
        return f"the product of the weights, {rows} x {columns}, is larger than both"
    if len(steps) > 1:
        vectors = (constant_tensor(value) for value in steps[1].inputs)
        if not any(vector is not None and vector.size == inner for vector in vectors):
            return "the sum between does not add one number to each column"
    return ""


def _merge(node: ir.Node, match: _Match, place: Place) -> None:
    inner, total = match.inner, match.sum
    first, second = _matrix(inner), _matrix(node)
    assert first is not None
    assert second is not None
    read = [*inner.inputs[1:], *node.inputs[1:], *(() if total is None else total.inputs)]
    weight = ir.LazyTensor(
        lambda: _product(first, second),
        second.dtype,
        ir.Shape([first.shape.numpy()[0], second.shape.numpy()[1]]),
    )
    _replace_constant(inner, 1, node.inputs[1], weight, place)
    last = inner
    if total is not None:
        vector = constant_tensor(total.inputs[match.bias])
        assert vector is not None
        bias = ir.LazyTensor(
            lambda: _product(vector, second), second.dtype, ir.Shape(second.shape.numpy()[1:])
        )
        _replace_constant(total, match.bias, total.inputs[match.bias], bias, place)
        last = total
    output = node.outputs[0]
    for step in (inner, total):
        if step is not None:
            value = step.outputs[0]
            value.name = place.names.fresh(f"{value.name}_merged")
            typed = value.type is not None and output.shape is not None
            value.shape = output.shape.copy() if typed and output.shape is not None else None
    place.editor.replace(output, last.outputs[0])
    place.editor.remove(node)
    place.editor.finish()
    for constant in dict.fromkeys(read):
        if is_constant(constant):
            drop_unread(constant)


def _replace_constant(
    node: ir.Node,
    index: int,
    like: ir.Value | None,
    tensor: ir.TensorProtocol,
    place: Place,
) -> None:
    assert like is not None
    node.replace_input_with(index, place.constant(node, f"{like.name}_merged", tensor))


def _product(first: ir.TensorProtocol, second: ir.TensorProtocol) -> ir.TensorProtocol:
    product = first.numpy().astype(np.float64) @ second.numpy().astype(np.float64)
    return ir.Tensor(product.astype(second.numpy().dtype), dtype=second.dtype)
