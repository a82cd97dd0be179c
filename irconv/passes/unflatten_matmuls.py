"""Products on flattened tensors, as products on the tensors themselves.

MatMul works on the last two axes and on each index of those in front (ONNX operator
specification). So where frameworks flatten the axes in front, multiply, and take the result
apart again, the same comes out without::

    Reshape(MatMul(Reshape(x; -1, k), W); …, n) = MatMul(x, W)          for a matrix W
    Reshape(MatMul(A, B); l…, m, n) = MatMul(Reshape(A; l…, m, k), Reshape(B; l…, k, n))

The reshapes that are left then meet what they undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.add_constant import add_constant
from irconv.graph.constants import constant_tensor
from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator
from irconv.graph.reshape_form import Item, ReshapeForm, dims_as_items, reshape_form, reshape_target
from irconv.graph.scopes import Scope, scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.layout.permutation import permuted_shape

__all__ = ["UnflattenMatmuls"]

_OLDEST_OPSET = 13


@dataclass(frozen=True)
class UnflattenMatmuls(Pass):
    """Multiply tensors as they are, where they were flattened for the product only.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 2] x) => (float[N, 3, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {0.5, 1.5}, int64[2] flat = {-1, 2},
         int64[3] whole = {-1, 3, 2}, float[M, 2] f, float[M, 2] p, float[M, 2] s> {
            f = Reshape(x, flat)
            p = MatMul(f, w)
            s = Add(p, b)
            y = Reshape(s, whole)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 3, 2] x) => (float[N, 3, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {0.5, 1.5},
         float[N, 3, 2] p_unflattened> {
            p_unflattened = MatMul(x, w)
            y = Add(p_unflattened, b)
        }
    """

    name: ClassVar[str] = "unflatten-matmuls"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "merge-reshapes")
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Rewrite in one sweep; linear in nodes."""
        del context
        rewriter = _Rewriter(model)
        for scope in scopes(model):
            if scope.opsets.get("", 1) >= _OLDEST_OPSET:
                for graph in scope.graphs():
                    for node in tuple(graph):
                        if node.op_type == "Reshape" and node.domain == "":
                            rewriter.visit(node, scope)
        details = {"unflattened": rewriter.count}
        return PassResult(rewriter.count > 0, details, tuple(rewriter.refusals))


@dataclass(frozen=True)
class _Trail:
    """The product before a Reshape, and the sum or Gemm bias between.

    Attributes:
        product: MatMul or Gemm.
        sum: The Add of a constant vector; None where there is none.
        bias: That vector, or the bias of the Gemm.
    """

    product: ir.Node
    sum: ir.Node | None
    bias: ir.Value | None


class _Rewriter:
    def __init__(self, model: ir.Model) -> None:
        self.count = 0
        self.refusals: list[Refusal] = []
        self._editor = Editor(model)
        self._names = NameAllocator(model)

    def visit(self, node: ir.Node, scope: Scope) -> None:
        trail, form = _trail(node), reshape_form(node)
        if trail is None or form is None:
            return
        reason = self._by_matrix(node, trail, form)
        if reason is None:
            reason = self._by_batch(node, trail, form, scope)
        if reason:
            self.refusals.append(Refusal(node.name or "", node.op_type, reason))
        elif reason is not None:
            self.count += 1

    def _by_matrix(self, node: ir.Node, trail: _Trail, form: ReshapeForm) -> str | None:
        """Multiply by a matrix without flattening; return "", why not, or None."""
        value, weight = trail.product.inputs[:2]
        flatten = None if value is None else value.producer()
        before = None if flatten is None else reshape_form(flatten)
        if flatten is None or before is None or len(before.items) != 2 or weight is None:
            return None
        if _rank(weight) != 2:
            return None
        dims = dims_as_items(before.source.shape)
        if dims is None or before.items[-1] != dims[-1]:
            return f"it is not known that {value.name!r} keeps the last axis" if value else None
        if form.items[-1] != _columns(trail) or not _same(dims[:-1], form.items[:-1]):
            return f"the result is not taken apart as {before.source.name!r} was"
        inputs = [before.source, weight]
        product = ir.Node("", "MatMul", inputs, name=trail.product.name)
        last = self._between(product, node, trail, form)
        self._finish(node, trail, last, [flatten])
        return ""

    def _by_batch(
        self, node: ir.Node, trail: _Trail, form: ReshapeForm, scope: Scope
    ) -> str | None:
        """Multiply batches of matrices by their own axes; return "", why not, or None."""
        product = trail.product
        shapes = [_static_tail(value) for value in (*product.inputs[:2], product.outputs[0])]
        if product.op_type != "MatMul" or any(shape is None for shape in shapes):
            return None
        if trail.sum is not None or len(form.items) <= 3:
            return None
        first, second, result = (shape for shape in shapes if shape is not None)
        *lead, rows, columns = form.items
        if (rows, columns) != result or first[1] != second[0]:
            return "the matrices that result are themselves taken apart"
        if not all(_is_reshaped(value) for value in product.inputs[:2]):
            return "an operand of the product is not flattened for it"
        inputs = [
            self._unflattened(value, (*lead, *tail), product, scope)
            for value, tail in zip(product.inputs[:2], (first, second), strict=True)
        ]
        if None in inputs:
            return "more than one axis in front is dynamic"
        new = ir.Node("", "MatMul", inputs, name=product.name)
        last = self._between(new, node, trail, form)
        self._finish(node, trail, last, [])
        return ""

    def _unflattened(
        self, value: ir.Value | None, items: tuple[Item, ...], product: ir.Node, scope: Scope
    ) -> ir.Value | None:
        """Reshape an operand; where a Transpose swaps its matrices, before that."""
        assert value is not None
        swap = value.producer()
        if swap is not None and swap.op_type == "Transpose":
            source = swap.inputs[0]
            items = (*items[:-2], items[-1], items[-2])
            inner = self._reshaped(source, items, product, scope)
            if inner is None:
                return None
            rank = len(items)
            order = [*range(rank - 2), rank - 1, rank - 2]
            node = ir.Node("", "Transpose", [inner], [ir.AttrInt64s("perm", order)])
            result = self._insert(node, product, f"{value.name}_unflattened", value)
            result.shape = permuted_shape(inner.shape, order)
            return result
        return self._reshaped(value, items, product, scope)

    def _reshaped(
        self, value: ir.Value | None, items: tuple[Item, ...], product: ir.Node, scope: Scope
    ) -> ir.Value | None:
        assert value is not None
        target = reshape_target(ReshapeForm(value, items))
        if target is None:
            return None
        shape = add_constant(
            product,
            self._names.fresh(f"{value.name}_shape"),
            ir.Tensor(np.array(target, np.int64)),
            is_function=scope.is_function,
        )
        node = ir.Node("", "Reshape", [value, shape])
        result = self._insert(node, product, f"{value.name}_unflattened", value)
        result.shape = ir.Shape([item if isinstance(item, int) else None for item in items])
        return result

    def _insert(self, node: ir.Node, before: ir.Node, name: str, like: ir.Value) -> ir.Value:
        result = node.outputs[0]
        result.name = node.name = self._names.fresh(name)
        result.type = like.type
        node.metadata_props.update(before.metadata_props)
        assert before.graph is not None
        before.graph.insert_before(before, node)
        return result

    def _between(
        self, product: ir.Node, node: ir.Node, trail: _Trail, form: ReshapeForm
    ) -> ir.Value:
        """Put the new product, and the sum after it, in front of the Reshape."""
        old = trail.product.outputs[0]
        output = node.outputs[0]
        value = self._insert(product, node, f"{old.name}_unflattened", output)
        value.shape = output.shape.copy() if output.shape is not None else None
        if trail.bias is None:
            return value
        added = ir.Node("", "Add", [value, trail.bias])
        total = self._insert(added, node, f"{output.name}_biased", output)
        total.shape = value.shape.copy() if value.shape is not None else None
        return total

    def _finish(
        self, node: ir.Node, trail: _Trail, last: ir.Value, sources: Sequence[ir.Node]
    ) -> None:
        """Let the readers of the Reshape read ``last``; drop what nothing reads any more."""
        output = node.outputs[0]
        if not output.is_graph_output():
            last.name, output.name = output.name, None
        self._editor.redirect(output, last)
        read = list(node.inputs)
        for item in (node, trail.sum, trail.product):
            if item is not None:
                read += item.inputs
                self._editor.remove(item)
        self._editor.finish()
        for source in sources:
            if source.graph is not None and not _is_read(source):
                read += source.inputs
                source.graph.remove(source, safe=True)
        for value in dict.fromkeys(read):
            drop_unread(value)


def _trail(node: ir.Node) -> _Trail | None:
    """Return the product before a Reshape, where nothing else reads what is between."""
    before = _lone_producer(node.inputs[0], node)
    if before is None:
        return None
    if before.op_type == "Add":
        bias = next((value for value in before.inputs if _is_vector(value)), None)
        other = next((value for value in before.inputs if value is not bias), None)
        product = _lone_producer(other, before)
        if bias is None or product is None or product.op_type != "MatMul":
            return None
        return _Trail(product, before, bias)
    if before.op_type == "MatMul":
        return _Trail(before, None, None)
    if before.op_type != "Gemm" or _changes(before):
        return None
    bias = before.inputs[2] if len(before.inputs) > 2 else None
    return _Trail(before, None, bias) if bias is None or _is_vector(bias) else None


def _changes(gemm: ir.Node) -> bool:
    """Whether a Gemm does more than a MatMul and an Add."""
    get = gemm.attributes
    return bool(
        get.get_int("transA", 0)
        or get.get_int("transB", 0)
        or get.get_float("alpha", 1.0) != 1
        or get.get_float("beta", 1.0) != 1
    )


def _lone_producer(value: ir.Value | None, reader: ir.Node) -> ir.Node | None:
    producer = None if value is None else value.producer()
    if value is None or producer is None or producer.domain != "":
        return None
    if producer.graph is not reader.graph or value.is_graph_output() or len(value.uses()) != 1:
        return None
    return None if any(item.is_ref() for item in producer.attributes.values()) else producer


def _is_vector(value: ir.Value | None) -> bool:
    tensor = constant_tensor(value)
    return tensor is not None and len(tensor.shape) <= 1


def _is_read(node: ir.Node) -> bool:
    return any(value.uses() or value.is_graph_output() for value in node.outputs)


def _rank(value: ir.Value) -> int | None:
    tensor = constant_tensor(value)
    if tensor is not None:
        return len(tensor.shape)
    return None if value.shape is None else len(value.shape)


def _columns(trail: _Trail) -> int | None:
    tensor = constant_tensor(trail.product.inputs[1])
    if tensor is not None:
        return int(tensor.shape.numpy()[-1])
    shape = trail.product.outputs[0].shape
    size = None if shape is None else shape[-1]
    return size if isinstance(size, int) else None


def _same(dims: Sequence[Item], items: Sequence[Item]) -> bool:
    """Whether sizes of one product are equal: all numbers, and at most one that is none."""
    if len(dims) != len(items):
        return False
    open_places = [place for place, dim in enumerate(dims) if not isinstance(dim, int)]
    return len(open_places) <= 1 and all(
        dim == item if isinstance(dim, int) else not isinstance(item, int)
        for dim, item in zip(dims, items, strict=True)
    )


def _static_tail(value: ir.Value | None) -> tuple[int, int] | None:
    """Return the sizes of the matrices in a batch of them along one axis."""
    if value is None or value.shape is None or len(value.shape) != 3:
        return None
    rows, columns = value.shape[1], value.shape[2]
    if not isinstance(rows, int) or not isinstance(columns, int) or not rows * columns:
        return None
    return rows, columns


def _is_reshaped(value: ir.Value | None) -> bool:
    """Whether a reshaping computes a value for one reader, with a swap of its matrices or not."""
    producer = None if value is None else value.producer()
    if value is None or producer is None or len(value.uses()) != 1 or value.is_graph_output():
        return False
    if producer.op_type == "Transpose":
        perm = producer.attributes.get("perm")
        if perm is None or perm.is_ref() or tuple(perm.as_ints()) != (0, 2, 1):
            return False
        return _is_reshaped(producer.inputs[0])
    return reshape_form(producer) is not None
