"""Folding of constant factors into the weights around them.

A product by a constant commutes with all that is linear, so it can be done once, on a weight,
rather than at every run on the activations::

    s (W x + b) = (s W) x + s b        W (s x) + b = (s W) x + b

The factor is followed backwards through reshapes, transposes, sums with constants and products
to the weights that the value is computed from, or forwards to those of its only reader. The
algebra is done in float64 and cast once to the weight's dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.scales.factor import Edit, Factor, factor_of, largest, scaled
from irconv.passes.scales.pull import pull
from irconv.passes.scales.push import push

__all__ = ["FoldScales"]

_SMALL_BYTES = 1 << 16
_SUFFIX = "_scaled"

_Plan = list[Edit | ir.Value]
"""Weights to scale, and values that come out scaled and so get another name."""


@dataclass(frozen=True)
class FoldScales(NodeRewrite[_Plan]):
    """Fold Mul and Div by a constant into the weights of MatMul, Gemm, Conv, or of norms.

    The constant is one number, or one for each channel of what directly computes the value. A
    weight that something else reads too stays as it is, so that the model does not grow. The
    half of a GELU stays, because runtimes know that pattern as a whole.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, S, 2] x, float[N, 1, 2, S] k) => (float[N, 1, S, S] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {1.0, 0.0}, float half = {0.5},
         int64[4] heads = {0, 0, 1, 2}> {
            a = MatMul(x, w)
            c = Add(a, b)
            d = Reshape(c, heads)
            q = Transpose <perm = [0, 2, 1, 3]> (d)
            scores = MatMul(q, k)
            y = Mul(scores, half)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, S, 2] x, float[N, 1, 2, S] k) => (float[N, 1, S, S] y)
        <int64[4] heads = {0, 0, 1, 2}, float[2, 2] w_scaled = {0.5, 1.0, 1.5, 2.0},
         float[2] b_scaled = {0.5, 0.0}> {
            a_scaled = MatMul(x, w_scaled)
            c_scaled = Add(a_scaled, b_scaled)
            d_scaled = Reshape(c_scaled, heads)
            q_scaled = Transpose <perm = [0, 2, 1, 3]> (d_scaled)
            y = MatMul(q_scaled, k)
        }
    """

    name: ClassVar[str] = "fold-scales"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fuse-conv-batchnorm")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"Div", "Mul"})
    oldest_opset: ClassVar[int] = 7
    counted: ClassVar[str] = "folded"

    def match(self, node: ir.Node, place: Place) -> _Plan | str | None:
        """Return the edits that fold a factor; each looks a bounded number of nodes far."""
        return _match(node, place.editor)

    def rewrite(self, node: ir.Node, match: _Plan, place: Place) -> None:
        """Scale the weights, and drop the product."""
        old, output = [*node.inputs], node.outputs[0]
        data = next(value for value in node.inputs if not is_constant(value))
        assert data is not None
        for item in match:
            if not isinstance(item, Edit):
                _rename(item, output if item is data else None, place.names)
                continue
            value = item.node.inputs[item.index]
            assert value is not None
            old.append(value)
            name = (value.name or "").removesuffix(_SUFFIX) + _SUFFIX
            new = place.constant(item.node, name, _tensor(value, item))
            item.node.replace_input_with(item.index, new)
        place.editor.redirect(output, data)
        place.editor.remove(node)
        place.editor.finish()
        for value in old:
            if is_constant(value):
                drop_unread(value)


def _match(node: ir.Node, editor: Editor) -> _Plan | str | None:
    if len(node.inputs) != 2:
        return None
    index = next((index for index in (1, 0) if is_constant(node.inputs[index])), None)
    if index is None or (node.op_type == "Div" and index == 0):
        return None
    data = node.inputs[1 - index]
    if data is None or is_constant(data):
        return None
    factor = factor_of(node.inputs[index])
    if factor is None or isinstance(factor, str):
        return factor
    if not _keeps_shape(data, node.inputs[index], factor):
        return f"broadcasting its constant may change the shape of {data.name!r}"
    factor = factor.inverse() if node.op_type == "Div" else factor
    blocker = editor.blocker(node.outputs[0], data)
    if blocker:
        return blocker
    plan = pull(data, factor, node)
    if isinstance(plan, str):
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        forwards = _gelu(data) or push(node.outputs[0], factor, graph)
        if isinstance(forwards, str):
            return f"{plan}; {forwards}"
        plan = forwards
    return _overflow(plan) or plan


def _keeps_shape(data: ir.Value, constant: ir.Value | None, factor: Factor) -> bool:
    tensor = constant_tensor(constant)
    assert tensor is not None
    rank = len(tensor.shape)
    if rank and (data.shape is None or len(data.shape) < rank):
        return False
    return factor.fits(data)


def _gelu(data: ir.Value) -> str:
    """Return whether the factor is the half of x (1 + erf(x / sqrt 2)) / 2, or of its like."""
    product = data.producer()
    if product is None or product.op_type != "Mul":
        return ""
    for value in product.inputs:
        total = None if value is None else value.producer()
        if total is None or total.op_type != "Add":
            continue
        terms = (None if item is None else item.producer() for item in total.inputs)
        if any(term is not None and term.op_type in ("Erf", "Tanh") for term in terms):
            return "it is a part of a GELU"
    return ""


def _overflow(plan: _Plan) -> str:
    for edit in plan:
        if not isinstance(edit, Edit):
            continue
        tensor = constant_tensor(edit.node.inputs[edit.index])
        assert tensor is not None
        size, most = tensor.size, float(np.abs(edit.by).max())
        shape = np.broadcast_shapes(tuple(tensor.shape.numpy()), edit.by.shape)
        if int(np.prod(shape)) > max(size, edit.by.size):
            return "the scaled constant would be larger than both"
        if most > 1 and not largest(tensor) * most <= float(tensor.dtype.max):
            return f"the scaled constants are not finite in {tensor.dtype}"
    return ""


def _rename(value: ir.Value, becomes: ir.Value | None, names: NameAllocator) -> None:
    """Give a value that comes out otherwise another name: that of the product that it is now."""
    if becomes is None:
        value.name = names.fresh((value.name or "").removesuffix(_SUFFIX) + _SUFFIX)
    elif not becomes.is_graph_output():
        value.name, becomes.name = becomes.name, None


def _tensor(value: ir.Value, edit: Edit) -> ir.TensorProtocol:
    source, by = constant_tensor(value), edit.by
    assert source is not None
    if source.nbytes <= _SMALL_BYTES:
        return ir.Tensor(scaled(source, by), dtype=source.dtype)
    shape = ir.Shape(np.broadcast_shapes(tuple(source.shape.numpy()), by.shape))
    return ir.LazyTensor(
        lambda: ir.Tensor(scaled(source, by), dtype=source.dtype), source.dtype, shape
    )
