"""Quantization with a zero point other than 0, in floating point and number for number.

TensorRT quantizes symmetrically only. With v = q - z the same numbers come out of::

    QuantizeLinear    v = clip(round(x / s), low - z, high - z)
    DequantizeLinear  y = v * s

where low and high bound the quantized dtype; v is an integer of at most nine bits, which a
float32 holds exactly, and rounding is half to even on both sides (ONNX operator specification,
QuantizeLinear and Round). The speed of int8 is lost where this pass acts; its results are not.
Constants behind a DequantizeLinear become floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv_trt.passes.constants import add_initializer
from irconv_trt.passes.fold_bias_dequantize import (
    dequantized,
    remove_unread,
    replace_by_constant,
)
from irconv_trt.passes.quantized_groups import QuantizedGroup, is_operator, zero_point_of

__all__ = ["ExpandAsymmetricQdq"]

_BOUNDS = {ir.DataType.INT8: (-128, 127), ir.DataType.UINT8: (0, 255)}
_CLIP_OPSET = 11


@dataclass(frozen=True)
class ExpandAsymmetricQdq(Pass):
    """Compute asymmetric quantization by Div, Round, Clip and Mul.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x) => (float[4] y)
        <float s = {0.5}, int8 z = {-28}>
        {
            q = QuantizeLinear(x, s, z)
            y = DequantizeLinear(q, s, z)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x) => (float[4] y)
        <float s = {0.5}, float q_low = {-100.0}, float q_high = {155.0}>
        {
            q_divided = Div(x, s)
            q_rounded = Round(q_divided)
            q = Clip(q_rounded, q_low, q_high)
            y = Mul(q, s)
        }
    """

    name: ClassVar[str] = "expand-asymmetric-qdq"
    after: ClassVar[tuple[str, ...]] = (
        "convert-opset",
        "fold-bias-dequantize",
        "infer-shapes",
        "rewrite-uint8-qdq",
    )

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand every group of connected values with such a zero point; linear in nodes."""
        del context
        if model.opset_imports.get("", 0) < _CLIP_OPSET:
            return PassResult(False)
        expander = _Expander(model)
        for graph in (model.graph, *nested_graphs(model.graph)):
            for node in list(graph):
                expander.visit(node)
        return PassResult(
            expander.expanded > 0, {"expanded": expander.expanded}, tuple(expander.refusals)
        )


class _Expander:
    """Expands the groups of one model, each once."""

    def __init__(self, model: ir.Model) -> None:
        self._names = NameAllocator(model)
        self._seen: set[ir.Value] = set()
        self.expanded = 0
        self.refusals: list[Refusal] = []

    def visit(self, node: ir.Node) -> None:
        """Expand the group that a QuantizeLinear or DequantizeLinear belongs to."""
        quantizes = is_operator(node, "QuantizeLinear")
        if not quantizes and not is_operator(node, "DequantizeLinear"):
            return
        value = node.outputs[0] if quantizes else node.inputs[0]
        if node.graph is None or value is None or value in self._seen:
            return
        group = QuantizedGroup()
        group.grow(value)
        self._seen |= group.values.keys()
        if not any(_is_asymmetric(quantizer) for quantizer in group.quantizers):
            return
        if group.refusal is None and self._fold(group):
            return
        reason = _why_not(group)
        if reason is None:
            self._expand(group)
        else:
            self.refusals.append(group.refusal or Refusal(node.name or "", node.op_type, reason))

    def _fold(self, group: QuantizedGroup) -> bool:
        """Fold a constant that DequantizeLinear alone reads; return whether it is one."""
        if len(group.values) > 1 or constant_tensor(next(iter(group.values))) is None:
            return False
        tensors = {node: dequantized(node) for node in group.quantizers}
        if any(node.outputs[0].is_graph_output() for node in tensors):
            return False
        if any(tensor is None for tensor in tensors.values()):
            return False
        for node, tensor in tensors.items():
            assert tensor is not None
            replace_by_constant(node, tensor, self._names)
            self.expanded += 1
        return True

    def _expand(self, group: QuantizedGroup) -> None:
        zero = next(zero for node in group.quantizers if (zero := _zero(node)) is not None)
        unread: list[ir.Value] = []
        for value in group.values:
            tensor = constant_tensor(value)
            if tensor is not None:
                shifted = tensor.numpy().astype(np.float32) - np.float32(zero)
                assert isinstance(value.graph, ir.Graph)
                constant = add_initializer(value.graph, self._names, f"{value.name}_float", shifted)
                for user, index in value.uses():
                    user.replace_input_with(index, constant)
                unread.append(value)
            elif value.dtype is not None:
                value.type = ir.TensorType(ir.DataType.FLOAT)
        for node in group.quantizers:
            unread += [operand for operand in node.inputs[1:] if operand is not None]
            if is_operator(node, "QuantizeLinear"):
                self._expand_quantize(node, zero)
            else:
                _replace(node, [ir.node("Mul", node.inputs[:2], name=node.name)])
            self.expanded += 1
        remove_unread(unread)

    def _expand_quantize(self, node: ir.Node, zero: int) -> None:
        low, high = _BOUNDS[_quantized_dtype(node)]
        graph, output = node.graph, node.outputs[0]
        assert isinstance(graph, ir.Graph)
        bounds = [
            add_initializer(
                graph, self._names, f"{output.name}_{word}", np.array(bound - zero, np.float32)
            )
            for word, bound in (("low", low), ("high", high))
        ]
        divide = ir.node("Div", node.inputs[:2], name=self._names.fresh(f"{output.name}_divided"))
        around = ir.node("Round", divide.outputs, name=self._names.fresh(f"{output.name}_rounded"))
        clip = ir.node("Clip", [*around.outputs, *bounds], name=node.name)
        for made in (divide, around):
            made.outputs[0].name = made.name
            made.outputs[0].shape = None if output.shape is None else output.shape.copy()
            if output.dtype is not None:
                made.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        _replace(node, [divide, around, clip])


def _replace(node: ir.Node, made: list[ir.Node]) -> None:
    """Put ``made`` in the place of ``node``; the last one's output takes over all of its own."""
    old, new = node.outputs[0], made[-1].outputs[0]
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    new.type, new.shape = old.type, old.shape
    name, old.name = old.name, None
    new.name = name
    graph.insert_before(node, made)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _zero(node: ir.Node) -> int | None:
    """Return the one zero point of ``node``; None if channels have their own."""
    zero_point = zero_point_of(node)
    tensor = None if zero_point is None else constant_tensor(zero_point)
    if tensor is None:
        return 0 if zero_point is None else None
    zeros = np.unique(tensor.numpy().astype(np.int64))
    return int(zeros[0]) if zeros.size == 1 else None


def _is_asymmetric(node: ir.Node) -> bool:
    return _zero(node) != 0 and _quantized_dtype(node) in _BOUNDS


def _quantized_dtype(node: ir.Node) -> ir.DataType:
    zero_point = zero_point_of(node)
    if zero_point is not None and zero_point.dtype is not None:
        return zero_point.dtype
    data = node.outputs[0] if is_operator(node, "QuantizeLinear") else node.inputs[0]
    return ir.DataType.UINT8 if data is None or data.dtype is None else data.dtype


def _why_not(group: QuantizedGroup) -> str | None:
    if group.refusal is not None:
        return group.refusal.reason
    if len({_zero(node) for node in group.quantizers}) > 1:
        return "the zero points of connected nodes differ"
    for node in group.quantizers:
        scale = constant_tensor(node.inputs[1])
        if _zero(node) is None:
            return "its channels have zero points of their own"
        if scale is None or scale.size != 1 or scale.dtype != ir.DataType.FLOAT:
            return "its scale is not one constant float32"
    return None
