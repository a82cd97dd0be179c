"""Reading what happens to one of several products of the same value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.reshape_form import Item, reshape_form
from irconv.passes.scales.factor import FLOATS
from irconv.passes.scales.pull import is_shared
from irconv.runtime.base import Array

__all__ = ["Branch", "read_branch"]

_PRODUCTS = ("Gemm", "MatMul")


@dataclass(frozen=True)
class Branch:
    """A product by a constant matrix, and what follows it.

    Attributes:
        product: The MatMul or Gemm.
        weight: Its weight.
        by_rows: Whether the weight holds one row, not one column, for each number put out.
        width: How many numbers it puts out for each row of the operand.
        bias: The numbers that are added; None where there are none.
        nodes: The product, the Add, the Reshape into heads, the Transpose; as far as they come.
        lead: Sizes in front of the heads that the Reshape gives; None without a Reshape.
        heads: Number of heads, of ``width / heads`` numbers each.
        order: Order of the Transpose; None without one.
    """

    product: ir.Node
    weight: ir.TensorProtocol
    by_rows: bool
    width: int
    bias: Array | None
    nodes: tuple[ir.Node, ...]
    lead: tuple[Item, ...] | None = None
    heads: int = 1
    order: tuple[int, ...] | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What branches must have in common to be one product."""
        return (self.product.op_type, self.by_rows, self.weight.dtype)


def read_branch(product: ir.Node) -> Branch | str | None:
    """Return what follows a product, why it must stay, or None where it is of another kind."""
    if product.op_type not in _PRODUCTS or product.domain != "" or len(product.inputs) < 2:
        return None
    value = product.inputs[1]
    weight = constant_tensor(value)
    if weight is None or len(weight.shape) != 2 or weight.dtype not in FLOATS:
        return None
    if is_constant(product.inputs[0]):
        return None
    if is_shared(value):
        return f"its weight {value.name!r} has other readers" if value is not None else None
    if any(attribute.is_ref() for attribute in product.attributes.values()):
        return "an attribute of it is a parameter of the enclosing function"
    get = product.attributes
    if get.get_int("transA", 0) or get.get_float("alpha", 1) != 1 or get.get_float("beta", 1) != 1:
        return "it transposes its operand, or scales"
    by_rows = bool(get.get_int("transB", 0))
    width = int(weight.shape.numpy()[0 if by_rows else 1])
    bias: Array | None = None
    nodes = [product]
    if len(product.inputs) > 2 and product.inputs[2] is not None:
        bias = _vector(product.inputs[2], width, 2)
        if bias is None:
            return "what it adds is not one number for each column"
    elif (added := _sum(nodes[-1], width)) is not None:
        node, bias = added
        nodes.append(node)
    branch = Branch(product, weight, by_rows, width, bias, tuple(nodes))
    return _with_heads(branch)


def _vector(value: ir.Value | None, width: int, rank: int) -> Array | None:
    tensor = constant_tensor(value)
    if tensor is None or len(tensor.shape) > rank or tensor.size not in (1, width):
        return None
    array = tensor.numpy()
    if tensor.size == width and array.shape[-1:] != (width,):
        return None
    return np.broadcast_to(array.reshape(-1), (width,))


def _lone_reader(node: ir.Node, op_type: str) -> ir.Node | None:
    value = node.outputs[0]
    if value.is_graph_output() or len(value.uses()) != 1:
        return None
    reader, _ = next(iter(value.uses()))
    if reader.op_type != op_type or reader.domain != "" or reader.graph is not node.graph:
        return None
    return None if any(item.is_ref() for item in reader.attributes.values()) else reader


def _sum(product: ir.Node, width: int) -> tuple[ir.Node, Array] | None:
    reader = _lone_reader(product, "Add")
    shape = product.outputs[0].shape
    if reader is None or shape is None:
        return None
    other = reader.inputs[0 if reader.inputs[1] is product.outputs[0] else 1]
    bias = _vector(other, width, len(shape))
    return None if bias is None else (reader, bias)


def _with_heads(branch: Branch) -> Branch:
    """Return the branch with the Reshape that splits its numbers into heads, and a Transpose."""
    last = branch.nodes[-1]
    reader, shape = _lone_reader(last, "Reshape"), last.outputs[0].shape
    form = None if reader is None else reshape_form(reader)
    if reader is None or form is None or shape is None or len(form.items) < 2:
        return branch
    *lead, heads, size = form.items
    if not isinstance(heads, int) or not isinstance(size, int) or heads * size != branch.width:
        return branch
    nodes = (*branch.nodes, reader)
    order = None
    transpose = _lone_reader(reader, "Transpose")
    perm = None if transpose is None else transpose.attributes.get("perm")
    if transpose is not None and perm is not None and len(perm.as_ints()) == len(form.items):
        order, nodes = tuple(perm.as_ints()), (*nodes, transpose)
    return Branch(
        branch.product, branch.weight, branch.by_rows, branch.width, branch.bias, nodes,
        tuple(lead), heads, order,
    )  # fmt: skip
