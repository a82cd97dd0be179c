"""Fusion of products of matrices with transposes before them and a sum after them.

Gemm computes alpha A' B' + beta C, where A' is A or its transpose and C broadcasts to the product
(ONNX operator specification, Gemm). So for matrices::

    MatMul(A, B) + C = Gemm(A, B, C)        MatMul(Transpose(A), B) = Gemm(A, B; transA = 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.scales.factor import FLOATS

__all__ = ["FuseGemm"]

_FLAGS = ("transA", "transB")


@dataclass(frozen=True)
class _Match:
    """A Gemm, and what it takes in.

    Attributes:
        like: The node whose name and notes it gets.
        inputs: Its inputs.
        attributes: Its attributes.
        before: Nodes before the one in whose place it comes, which go.
    """

    like: ir.Node
    inputs: list[ir.Value | None]
    attributes: list[ir.Attr]
    before: list[ir.Node]


@dataclass(frozen=True)
class FuseGemm(NodeRewrite[_Match]):
    """Make a ``Gemm`` of MatMul or Gemm, an Add after it, and transposes before it.

    All operands are matrices, and what is added broadcasts to the product.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4, N] x) => (float[N, 2] y)
        <float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[2] b = {0.5, 1}, float[N, 4] t,
         float[N, 2] a> {
            t = Transpose <perm = [1, 0]> (x)
            a = MatMul(t, w)
            y = Add(b, a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4, N] x) => (float[N, 2] y)
        <float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[2] b = {0.5, 1}> {
            y = Gemm <transA = 1> (x, w, b)
        }

    A MatMul with nothing to fuse stays a MatMul.
    """

    name: ClassVar[str] = "fuse-gemm"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fold-scales")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"Add", "Gemm", "MatMul"})
    oldest_opset: ClassVar[int] = 11
    counted: ClassVar[str] = "fused"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return the Gemm of a sum or of a product; see :class:`NodeRewrite`."""
        del place
        return _sum(node) if node.op_type == "Add" else _transposes(node)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Put the Gemm in the place of the node, and drop what it takes in."""
        like = match.like
        fused = ir.Node("", "Gemm", match.inputs, match.attributes, name=like.name)
        fused.metadata_props.update(like.metadata_props)
        place.editor.replace_node(node, fused)
        for before in match.before:
            place.editor.remove(before)


def _sum(node: ir.Node) -> _Match | str | None:
    """Return an Add and the product before it as one Gemm."""
    if len(node.inputs) != 2:
        return None
    found = None
    for value, addend in (tuple(node.inputs), tuple(reversed(node.inputs))):
        product = None if value is None else value.producer()
        if product is None or product.domain != "" or product.op_type not in ("MatMul", "Gemm"):
            continue
        reason = _sum_obstacle(node, product, addend)
        if not reason:
            flags = [ir.AttrInt64(name, 1) for name in _FLAGS if _int(product, name)]
            alpha = product.attributes.get("alpha")
            attributes = [*flags, *([alpha] if alpha is not None else [])]
            return _Match(product, [*product.inputs[:2], addend], attributes, [product])
        found = found or reason
    return found


def _sum_obstacle(node: ir.Node, product: ir.Node, addend: ir.Value | None) -> str:
    value = product.outputs[0]
    if _rank(value) != 2 or any(_rank(item) != 2 for item in product.inputs[:2]):
        return f"an operand of the product {value.name!r} is no matrix, or of unknown rank"
    if addend is None or addend is value or value.dtype not in FLOATS:
        return f"{value.name!r} is added to itself, or of a dtype that Gemm does not take"
    if product.graph is not node.graph or value.is_graph_output() or len(value.uses()) != 1:
        return f"the product {value.name!r} has other readers"
    if any(item.is_ref() for item in product.attributes.values()):
        return "an attribute of the product is a parameter of the enclosing function"
    if len(product.inputs) > 2 and product.inputs[2] is not None:
        return f"the Gemm of {value.name!r} adds something already"
    if not _broadcasts(addend, value):
        return f"it is not sure that {addend.name!r} broadcasts to {value.name!r}"
    return ""


def _rank(value: ir.Value | None) -> int | None:
    tensor = constant_tensor(value)
    if tensor is not None:
        return len(tensor.shape)
    return None if value is None or value.shape is None else len(value.shape)


def _broadcasts(addend: ir.Value, product: ir.Value) -> bool:
    """Whether ``addend`` surely has no more than the dims of ``product``; names prove nothing."""
    tensor = constant_tensor(addend)
    dims = tuple(tensor.shape.numpy()) if tensor is not None else addend.shape
    if dims is None or product.shape is None or len(dims) > 2:
        return False
    pairs = zip(reversed(tuple(dims)), reversed(tuple(product.shape)), strict=False)
    return all(one == 1 or (isinstance(one, int) and one == other) for one, other in pairs)


def _int(node: ir.Node, name: str) -> int:
    return node.attributes.get_int(name, 0) if node.op_type == "Gemm" else 0


def _transposes(node: ir.Node) -> _Match | str | None:
    """Return a product and the transposes before it as one Gemm."""
    if any(_rank(value) != 2 for value in node.inputs[:2]):
        return None
    transposes = [_transpose_of(value) for value in node.inputs[:2]]
    if transposes == [None, None]:
        return None
    if node.outputs[0].dtype not in FLOATS:
        return "Gemm does not take its dtype"
    if any(item.is_ref() for item in node.attributes.values()):
        return "an attribute of it is a parameter of the enclosing function"
    lone = [item if item is not None and _is_lone(item.outputs[0]) else None for item in transposes]
    if lone == [None, None]:
        first = next(item for item in transposes if item is not None)
        return f"the transposed {first.outputs[0].name!r} has other readers"
    inputs = [
        value if transpose is None else transpose.inputs[0]
        for value, transpose in zip(node.inputs[:2], lone, strict=True)
    ]
    flags = [
        ir.AttrInt64(name, 1)
        for name, transpose in zip(_FLAGS, lone, strict=True)
        if bool(_int(node, name)) != (transpose is not None)
    ]
    kept = [item for item in node.attributes.values() if item.name not in _FLAGS]
    gone = [transpose for transpose in lone if transpose is not None]
    return _Match(node, [*inputs, *node.inputs[2:]], [*flags, *kept], gone)


def _is_lone(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _transpose_of(value: ir.Value | None) -> ir.Node | None:
    """Return the node that computes ``value`` by transposing a matrix that is not constant."""
    producer = None if value is None else value.producer()
    if producer is None or producer.op_type != "Transpose" or producer.domain != "":
        return None
    perm = producer.attributes.get("perm")
    if is_constant(producer.inputs[0]) or (perm is not None and perm.is_ref()):
        return None
    return producer if perm is None or tuple(perm.as_ints()) == (1, 0) else None
