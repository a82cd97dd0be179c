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

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.reshape_form import Item, ReshapeForm, dims_as_items, reshape_form, reshape_target
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.layout.permutation import permuted_shape
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["UnflattenMatmuls"]


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


@dataclass(frozen=True)
class _Operand:
    """An operand of the new product.

    Attributes:
        value: The operand of the old product.
        source: What the new one is made of.
        items: The sizes to give the source; None where it is read as it is.
        target: These sizes, as Reshape reads them.
        order: The order to transpose the matrices in afterwards; None where they stay.
    """

    value: ir.Value
    source: ir.Value
    items: tuple[Item, ...] | None = None
    target: tuple[int, ...] = ()
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _Match:
    """A product that takes the place of a Reshape, with the sum after it.

    Attributes:
        trail: The old product.
        operands: The operands of the new one.
        flatten: The reshaping before the old product, which goes if nothing else reads it.
    """

    trail: _Trail
    operands: tuple[_Operand, ...]
    flatten: ir.Node | None


@dataclass(frozen=True)
class UnflattenMatmuls(NodeRewrite[_Match]):
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

    op_types: ClassVar[frozenset[str]] = frozenset({"Reshape"})
    oldest_opset: ClassVar[int] = 13
    counted: ClassVar[str] = "unflattened"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return the product on what was not flattened; see :class:`NodeRewrite`."""
        del place
        trail, form = _trail(node), reshape_form(node)
        if trail is None or form is None:
            return None
        found = _by_matrix(trail, form)
        return _by_batch(trail, form) if found is None else found

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Let the readers of the Reshape read the new product, or the sum after it."""
        trail, output = match.trail, node.outputs[0]
        old = trail.product
        inputs = [_made(operand, old, place) for operand in match.operands]
        product = ir.Node("", "MatMul", inputs, name=old.name)
        last = _between(product, node, trail, place)
        place.editor.replace(output, last)
        read = list(node.inputs)
        for item in (node, trail.sum, old):
            if item is not None:
                read += item.inputs
                place.editor.remove(item)
        place.editor.finish()
        flatten = match.flatten
        if flatten is not None and flatten.graph is not None and not _is_read(flatten):
            read += flatten.inputs
            flatten.graph.remove(flatten, safe=True)
        for value in dict.fromkeys(read):
            drop_unread(value)


def _by_matrix(trail: _Trail, form: ReshapeForm) -> _Match | str | None:
    """Return a product by a matrix without flattening."""
    value, weight = trail.product.inputs[:2]
    flatten = None if value is None else value.producer()
    before = None if flatten is None else reshape_form(flatten)
    if value is None or before is None or len(before.items) != 2 or weight is None:
        return None
    if _rank(weight) != 2:
        return None
    dims = dims_as_items(before.source.shape)
    if dims is None or before.items[-1] != dims[-1]:
        return f"it is not known that {value.name!r} keeps the last axis"
    if form.items[-1] != _columns(trail) or not _same(dims[:-1], form.items[:-1]):
        return f"the result is not taken apart as {before.source.name!r} was"
    operands = (_Operand(value, before.source), _Operand(weight, weight))
    return _Match(trail, operands, flatten)


def _by_batch(trail: _Trail, form: ReshapeForm) -> _Match | str | None:
    """Return a product of batches of matrices by their own axes."""
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
    operands = [
        _unflattened(value, (*lead, *tail))
        for value, tail in zip(product.inputs[:2], (first, second), strict=True)
    ]
    found = tuple(operand for operand in operands if operand is not None)
    if len(found) < len(operands):
        return "more than one axis in front is dynamic"
    return _Match(trail, found, None)


def _unflattened(value: ir.Value | None, items: tuple[Item, ...]) -> _Operand | None:
    """Return an operand reshaped; where a Transpose swaps its matrices, before that."""
    assert value is not None
    swap, source, order = value.producer(), value, None
    if swap is not None and swap.op_type == "Transpose":
        assert swap.inputs[0] is not None
        source, rank = swap.inputs[0], len(items)
        items = (*items[:-2], items[-1], items[-2])
        order = (*range(rank - 2), rank - 1, rank - 2)
    target = reshape_target(ReshapeForm(source, items))
    return None if target is None else _Operand(value, source, items, target, order)


def _made(operand: _Operand, product: ir.Node, place: Place) -> ir.Value:
    """Return the value of an operand, after nodes in front of the old product."""
    source, items = operand.source, operand.items
    if items is None:
        return source
    shape = place.constant(product, f"{source.name}_shape", operand.target)
    reshape = ir.Node("", "Reshape", [source, shape])
    result = _insert(reshape, product, f"{source.name}_unflattened", source, place)
    result.shape = ir.Shape([item if isinstance(item, int) else None for item in items])
    if operand.order is None:
        return result
    perm = ir.AttrInt64s("perm", operand.order)
    swap, value = ir.Node("", "Transpose", [result], [perm]), operand.value
    swapped = _insert(swap, product, f"{value.name}_unflattened", value, place)
    swapped.shape = permuted_shape(result.shape, operand.order)
    return swapped


def _insert(node: ir.Node, before: ir.Node, name: str, like: ir.Value, place: Place) -> ir.Value:
    result = node.outputs[0]
    result.name = node.name = place.names.fresh(name)
    result.type = like.type
    node.metadata_props.update(before.metadata_props)
    assert before.graph is not None
    before.graph.insert_before(before, node)
    return result


def _between(product: ir.Node, node: ir.Node, trail: _Trail, place: Place) -> ir.Value:
    """Put the new product, and the sum after it, in front of the Reshape."""
    old = trail.product.outputs[0]
    output = node.outputs[0]
    value = _insert(product, node, f"{old.name}_unflattened", output, place)
    value.shape = output.shape.copy() if output.shape is not None else None
    if trail.bias is None:
        return value
    added = ir.Node("", "Add", [value, trail.bias])
    total = _insert(added, node, f"{output.name}_biased", output, place)
    total.shape = value.shape.copy() if value.shape is not None else None
    return total


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
