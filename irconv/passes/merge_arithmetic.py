"""Merging of arithmetic with constants: two steps of the same kind are one.

In real numbers (x + a) + b = x + (a + b) and (x a) b = x (a b), with differences and quotients by
constants read as sums and products; x (1 / y) = x / y; and x + (-y) = x - y. Constants are
combined in float64, or in integers where division plays no part.
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

__all__ = ["MergeArithmetic"]

_INVERSE = {"Add": "Sub", "Mul": "Div"}
_KIND = {"Add": "Add", "Sub": "Add", "Mul": "Mul", "Div": "Mul"}
_MOST_ELEMENTS = 1 << 16


@dataclass(frozen=True)
class _Match:
    """A step that stands for another and the one before it.

    Attributes:
        op_type: Operator of the step.
        operand: Its first operand.
        other: Its second; a tensor becomes a new constant.
        inner: The step before, which goes.
    """

    op_type: str
    operand: ir.Value
    other: ir.Value | ir.TensorProtocol
    inner: ir.Node


@dataclass(frozen=True)
class MergeArithmetic(NodeRewrite[_Match]):
    """Make one step of two sums, or of two products, with constants; and of a reciprocal.

    Constants of floats only. The merged constant is never larger than the larger of the two.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x, float[N, 2] z) => (float[N, 2] y)
        <float[2] a = {1.0, 2.0}, float b = {4.0}, float one = {1.0}> {
            c = Add(x, a)
            d = Sub(c, b)
            r = Div(one, z)
            y = Mul(d, r)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x, float[N, 2] z) => (float[N, 2] y)
        <float[2] d_constant = {-3.0, -2.0}> {
            d = Add(x, d_constant)
            y = Div(d, z)
        }
    """

    name: ClassVar[str] = "merge-arithmetic"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "eliminate-no-op")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset(_KIND)
    oldest_opset: ClassVar[int] = 7

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return the one step that stands for two; see :class:`NodeRewrite`."""
        del place
        if len(node.inputs) != 2:
            return None
        found = _constants(node)
        return _unary(node) if found is None else found

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Put the step in the place of this one, and drop the one before it.

        The step may match again, as the sum that a difference becomes does behind a negative.
        """
        read = [*node.inputs, *match.inner.inputs]
        other = match.other
        if not isinstance(other, ir.Value):
            other = place.constant(node, f"{node.outputs[0].name}_constant", other)
        new = ir.Node("", match.op_type, [match.operand, other], name=node.name)
        new.metadata_props.update(node.metadata_props)
        place.editor.replace_node(node, new)
        place.editor.remove(match.inner)
        place.editor.finish()
        for value in read:
            if is_constant(value):
                drop_unread(value)
        further = self.match(new, place)
        if isinstance(further, _Match):
            self.rewrite(new, further, place)


def _constants(node: ir.Node) -> _Match | str | None:
    """Return two steps with constants as one."""
    kind = _KIND[node.op_type]
    outer = _split(node)
    between = None if outer is None else outer[0]
    inner_node = None if between is None else between.producer()
    if outer is None or between is None or inner_node is None or inner_node.domain != "":
        return None
    if _KIND.get(inner_node.op_type) != kind or len(inner_node.inputs) != 2:
        return None
    inner = _split(inner_node)
    if inner is None or inner[1].dtype not in FLOATS:
        return None
    reason = _obstacle(node, between, inner_node, inner[1], outer[1])
    if reason:
        return reason
    total = _combined(kind, inner, outer)
    if total is None:
        return "the merged constant is not finite"
    return _Match(kind, inner[0], ir.Tensor(total, dtype=inner[1].dtype), inner_node)


def _unary(node: ir.Node) -> _Match | str | None:
    """Return a product by a reciprocal as a quotient, a sum of a negative as a difference."""
    if node.op_type not in _INVERSE:
        return None
    for one, other in (tuple(node.inputs), tuple(reversed(node.inputs))):
        producer = None if other is None else other.producer()
        undone = None if producer is None else _undone(node.op_type, producer)
        if producer is None or undone is None or one is None or one is other:
            continue
        if producer.graph is not node.graph or not _is_lone(producer.outputs[0]):
            return f"{producer.outputs[0].name!r} has other readers"
        return _Match(_INVERSE[node.op_type], one, undone, producer)
    return None


_Step = tuple[ir.Value, ir.TensorProtocol, int]
"""The operand, the constant, and what the constant is: 1 added (a factor), -1 taken away."""


def _split(node: ir.Node) -> _Step | None:
    first, second = node.inputs
    tensor = constant_tensor(second)
    if tensor is not None and first is not None and not is_constant(first):
        return first, tensor, 1 if node.op_type in ("Add", "Mul") else -1
    tensor = constant_tensor(first)
    if tensor is None or second is None or node.op_type in ("Sub", "Div"):
        return None
    return None if is_constant(second) else (second, tensor, 1)


def _obstacle(
    node: ir.Node,
    between: ir.Value,
    inner: ir.Node,
    first: ir.TensorProtocol,
    second: ir.TensorProtocol,
) -> str:
    if inner.graph is not node.graph or not _is_lone(between):
        return f"{between.name!r} has other readers"
    sizes = first.size, second.size
    try:
        shape = np.broadcast_shapes(tuple(first.shape.numpy()), tuple(second.shape.numpy()))
    except ValueError:
        return "its constants do not broadcast to each other"
    size = int(np.prod(shape))
    if size > max(sizes) or size > _MOST_ELEMENTS:
        return f"the merged constant would have {size} elements"
    return ""


def _combined(kind: str, inner: _Step, outer: _Step) -> np.ndarray | None:
    one, other = (step[1].numpy().astype(np.float64) for step in (inner, outer))
    with np.errstate(all="ignore"):
        if kind == "Add":
            total = inner[2] * one + outer[2] * other
        else:
            total = (one if inner[2] > 0 else 1 / one) * (other if outer[2] > 0 else 1 / other)
        result: np.ndarray = np.asarray(total).astype(inner[1].dtype.numpy())
    # An overflow, or an underflow of a product, would change more than rounding.
    lost = kind == "Mul" and bool(((result == 0) & (np.multiply(one, other) != 0)).any())
    return None if lost or not np.isfinite(result).all() else result


def _undone(op_type: str, producer: ir.Node) -> ir.Value | None:
    """Return y where ``producer`` computes 1 / y, or -y."""
    if producer.domain != "":
        return None
    unary = "Reciprocal" if op_type == "Mul" else "Neg"
    if producer.op_type == unary:
        return producer.inputs[0]
    if op_type == "Add" or producer.op_type != "Div" or len(producer.inputs) != 2:
        return None
    one = constant_tensor(producer.inputs[0])
    if one is None or one.dtype not in FLOATS or len(one.shape) or float(one.numpy()) != 1:
        return None
    return producer.inputs[1]


def _is_lone(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()
