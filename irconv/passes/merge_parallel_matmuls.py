"""Merging of products of one value by several weights.

The columns of a product are computed each for itself, so for weights U, V, … and biases u, v, …::

    (x U + u | x V + v | …) = x (U | V | …) + (u | v | …)

where | puts columns side by side. Splitting columns into heads of one size, and a transpose that
keeps those apart, commute with taking some of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.reshape_form import ReshapeForm, reshape_target
from irconv.graph.scopes import scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.edits import Edits
from irconv.passes.layout.permutation import compose, inverse
from irconv.passes.opset.infer import infer_outputs
from irconv.passes.parallel.branch import Branch, read_branch
from irconv.passes.rewrite import Place
from irconv.passes.sites import Sites

__all__ = ["MergeParallelMatmuls"]

_OLDEST_OPSET = 13


@dataclass(frozen=True)
class MergeParallelMatmuls(Pass):
    """Multiply a value once by the weights of all that multiply it, and split the result.

    So queries, keys and values of an attention come out of one product. Products are merged
    where that leaves fewer nodes. A weight that something else reads too stays as it is.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 1, 2] q, float[N, 2, 1] k)
        <float[2, 2] u = {1.0, 2.0, 3.0, 4.0}, float[2, 2] v = {5.0, 6.0, 7.0, 8.0},
         int64[3] heads = {0, 1, 2}, float[N, 2] a, float[N, 2] b, float[N, 1, 2] c,
         float[N, 1, 2] d> {
            a = MatMul(x, u)
            c = Reshape(a, heads)
            q = Neg(c)
            b = MatMul(x, v)
            d = Reshape(b, heads)
            k = Transpose <perm = [0, 2, 1]> (d)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 1, 2] q, float[N, 2, 1] k)
        <float[2, 4] x_weights = {1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0},
         int64[3] x_heads = {0, 2, 2}, int64[2] x_parts = {1, 1}, float[N, 4] x_products,
         float[N, 2, 2] x_products_heads, float[N, 1, 2] c, float[N, 1, 2] d> {
            x_products = MatMul(x, x_weights)
            x_products_heads = Reshape(x_products, x_heads)
            c, d = Split <axis = 1> (x_products_heads, x_parts)
            q = Neg(c)
            k = Transpose <perm = [0, 2, 1]> (d)
        }
    """

    name: ClassVar[str] = "merge-parallel-matmuls"
    after: ClassVar[tuple[str, ...]] = (
        "infer-shapes", "fold-constants", "fold-shapes", "merge-reshapes", "fold-scales",
    )  # fmt: skip
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in one sweep; linear in nodes. New weights are made when they are written."""
        merger = _Merger(model, Sites(context))
        for scope in scopes(model):
            if scope.opsets.get("", 1) >= _OLDEST_OPSET:
                for graph in scope.graphs():
                    merger.merge(graph, Place(scope, merger.edits))
        made = merger.sites.made
        return PassResult(bool(made), {"merged": len(made)}, tuple(merger.refusals), made)


class _Merger:
    def __init__(self, model: ir.Model, sites: Sites) -> None:
        self.edits = Edits(model)
        self.sites = sites
        self.refusals: list[Refusal] = []

    def merge(self, graph: ir.Graph, place: Place) -> None:
        groups: dict[tuple[object, ...], list[Branch]] = {}
        for node in graph:
            found = read_branch(node)
            if isinstance(found, str):
                self._refuse(node, found)
            elif found is not None:
                groups.setdefault((node.inputs[0], *found.kind), []).append(found)
        for group in groups.values():
            if len(group) < 2:
                continue
            branches = _common(group)
            reason = _obstacle(branches)
            if reason:
                for branch in branches:
                    self._refuse(branch.product, reason)
            elif self.sites.permit(branches[0].product):
                _join(branches, place)

    def _refuse(self, node: ir.Node, reason: str) -> None:
        self.refusals.append(Refusal(node.name or "", node.op_type, reason))


def _obstacle(branches: Sequence[Branch]) -> str:
    if _nodes_after(branches) >= sum(len(branch.nodes) for branch in branches):
        return "merging it with the other products of its operand leaves no fewer nodes"
    if any(branch.nodes[-1].outputs[0].is_graph_output() for branch in branches):
        return "a product of the same operand is a graph output"
    if _target(branches) is None and branches[0].lead is not None:
        return "its heads have more than one dynamic size in front that moves"
    return ""


def _join(branches: Sequence[Branch], place: Place) -> None:
    """Multiply once, and split the result into what the branches give."""
    source, first = branches[0].product.inputs[0], branches[0].product
    assert source is not None
    ends = [branch.nodes[-1].outputs[0] for branch in branches]
    target = _target(branches)
    chain = _Chain(first, place, str(source.name))
    _add_products(chain, branches)
    if target is not None:
        chain.reshape(target, "heads")
    order = _common_order(branches)
    if order is not None:
        chain.add("Transpose", [ir.AttrInt64s("perm", order)], "ordered")
    axis = _head_axis(branches, order)
    parts = [branch.width if branch.lead is None else branch.heads for branch in branches]
    for branch, end, value in zip(branches, ends, chain.split(axis, parts, ends), strict=True):
        if order is not None and branch.order is not None and branch.order != order:
            value = chain.transposed(value, compose(inverse(order), branch.order), end)
        place.editor.redirect(end, value)
    nodes = [node for branch in branches for node in branch.nodes]
    read = [value for node in nodes for value in node.inputs]
    for node in nodes:
        place.editor.remove(node)
    place.editor.finish()
    for item in dict.fromkeys(read):
        drop_unread(item)


def _add_products(chain: _Chain, branches: Sequence[Branch]) -> None:
    weights = [branch.weight for branch in branches]
    by_rows, axis = branches[0].by_rows, 0 if branches[0].by_rows else 1
    shape = list(weights[0].shape.numpy())
    shape[axis] = sum(branch.width for branch in branches)
    weight = ir.LazyTensor(
        lambda: ir.Tensor(
            np.concatenate([tensor.numpy() for tensor in weights], axis),
            dtype=weights[0].dtype,
        ),
        weights[0].dtype,
        ir.Shape(shape),
    )
    inputs = [branches[0].product.inputs[0], chain.constant("weights", weight)]
    biases = _biases(branches)
    is_gemm = branches[0].product.op_type == "Gemm"
    bias = None if biases is None else ir.Tensor(biases, dtype=weights[0].dtype)
    if is_gemm and bias is not None:
        inputs.append(chain.constant("biases", bias))
    flags = [ir.AttrInt64("transB", 1)] if by_rows else []
    chain.start("Gemm" if is_gemm else "MatMul", inputs, flags)
    if bias is not None and not is_gemm:
        chain.add("Add", [], "biased", chain.constant("biases", bias))


class _Chain:
    """New nodes, one after another, in front of a node."""

    def __init__(self, before: ir.Node, place: Place, stem: str) -> None:
        self._before = before
        self._place = place
        self._names = place.names
        self._stem = stem
        self._last: ir.Value | None = None

    def constant(self, name: str, data: ir.TensorProtocol | Sequence[int]) -> ir.Value:
        return self._place.constant(self._before, f"{self._stem}_{name}", data)

    def _put(self, node: ir.Node) -> None:
        assert self._before.graph is not None
        node.metadata_props.update(self._before.metadata_props)
        self._before.graph.insert_before(self._before, node)

    def start(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: list[ir.Attr]
    ) -> None:
        name = self._names.fresh(f"{self._stem}_products")
        node = ir.Node("", op_type, inputs, attributes, name=name)
        self._last, node.outputs[0].name = node.outputs[0], name
        self._put(node)
        infer_outputs(node, self._place.opset)

    def add(self, op_type: str, attributes: list[ir.Attr], name: str, *rest: ir.Value) -> None:
        assert self._last is not None
        name = self._names.fresh(f"{self._last.name}_{name}")
        node = ir.Node("", op_type, [self._last, *rest], attributes, name=name)
        self._last, node.outputs[0].name = node.outputs[0], name
        self._put(node)
        infer_outputs(node, self._place.opset)

    def reshape(self, target: tuple[int, ...], name: str) -> None:
        shape = self.constant(name, target)
        self.add("Reshape", [], name, shape)

    def split(self, axis: int, parts: list[int], ends: Sequence[ir.Value]) -> Sequence[ir.Value]:
        sizes = self.constant("parts", parts)
        name = self._names.fresh(f"{self._stem}_split")
        attributes = [ir.AttrInt64("axis", axis)]
        node = ir.Node(
            "", "Split", [self._last, sizes], attributes, num_outputs=len(parts), name=name
        )
        for value, end in zip(node.outputs, ends, strict=True):
            value.name, end.name = end.name, None
            value.type, value.shape = end.type, end.shape
        self._put(node)
        return node.outputs

    def transposed(self, value: ir.Value, order: tuple[int, ...], end: ir.Value) -> ir.Value:
        node = ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", order)])
        result = node.outputs[0]
        result.name, result.type, result.shape = value.name, end.type, end.shape
        value.name = self._names.fresh(f"{value.name}_part")
        undone = inverse(order)
        if end.shape is not None:
            value.shape = ir.Shape([end.shape[axis] for axis in undone])
        node.name = result.name
        self._put(node)
        return result


def _common(branches: Sequence[Branch]) -> list[Branch]:
    """Return the branches, each cut to what all have."""
    first = branches[0]
    heads = first.lead is not None and all(
        branch.lead == first.lead and branch.width // branch.heads == first.width // first.heads
        for branch in branches
    )
    if heads and all(branch.order is not None for branch in branches):
        return list(branches)
    return [_cut(branch, with_heads=heads) for branch in branches]


def _cut(branch: Branch, *, with_heads: bool) -> Branch:
    gone = (branch.order is not None) + (branch.lead is not None and not with_heads)
    nodes = branch.nodes[: len(branch.nodes) - gone]
    if with_heads:
        return replace(branch, nodes=nodes, order=None)
    return replace(branch, nodes=nodes, order=None, lead=None, heads=1)


def _biases(branches: Sequence[Branch]) -> np.ndarray | None:
    if all(branch.bias is None for branch in branches):
        return None
    dtype = branches[0].weight.dtype.numpy()
    parts = [
        np.zeros(branch.width, dtype) if branch.bias is None else branch.bias for branch in branches
    ]
    return np.concatenate(parts)


def _nodes_after(branches: Sequence[Branch]) -> int:
    has_sum = any(branch.bias is not None for branch in branches)
    is_gemm = branches[0].product.op_type == "Gemm"
    order = _common_order(branches)
    others = sum(branch.order != order for branch in branches)
    steps = (has_sum and not is_gemm) + (branches[0].lead is not None) + (order is not None)
    return 2 + int(steps) + others


def _common_order(branches: Sequence[Branch]) -> tuple[int, ...] | None:
    orders = Counter(branch.order for branch in branches if branch.order is not None)
    return orders.most_common(1)[0][0] if orders else None


def _head_axis(branches: Sequence[Branch], order: tuple[int, ...] | None) -> int:
    lead = branches[0].lead
    if lead is None:
        return -1
    return len(lead) if order is None else order.index(len(lead))


def _target(branches: Sequence[Branch]) -> tuple[int, ...] | None:
    """Return the target of the Reshape of all heads; None without one."""
    first = branches[0]
    source = first.product.outputs[0]
    if first.lead is None:
        return None
    heads = sum(branch.heads for branch in branches)
    items = (*first.lead, heads, first.width // first.heads)
    return reshape_target(ReshapeForm(source, items))
