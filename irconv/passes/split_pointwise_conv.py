"""Applying a pointwise convolution to the parts of a Concat, before they are resized.

A pointwise Conv is a product at each position. So it adds over the channels that a Concat puts side
by side, W [a b] = Wa a + Wb b, and it commutes with a Resize R of the other axes, which is linear:
W R(a) = R(W a). The weights of a Resize add up to 1 at each position (ONNX operator specification,
Resize), so a bias may go before it as well. Where R enlarges, W is then applied at fewer positions;
the decode head of SegFormer (Xie et al., 2021) enlarges three parts in four, by 2, 4 and 8.
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
from irconv.graph.scopes import Scope, scopes
from irconv.graph.symbolic.sizes import Sizes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.channel_parts import Part, other_readers, part_of
from irconv.passes.scales.factor import FLOATS
from irconv.passes.scales.pull import is_shared
from irconv.passes.sites import Sites

__all__ = ["SplitPointwiseConv"]


@dataclass(frozen=True)
class _Match:
    """A convolution, and the parts of what it reads, put side by side by ``concat``."""

    convolution: ir.Node
    concat: ir.Node | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class SplitPointwiseConv(Pass):
    """Convolve parts of the channels by themselves, before a Resize, where that multiplies less.

    Where the channels come from the last axis by a Transpose, the product is a MatMul before it.

    Attributes:
        least_spared: How many channels, by position, a part must spare at least on the average;
            each costs a sum.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 1, 2, 2] a, float[1, 1, 4, 4] b) => (float[1, 1, 4, 4] y)
        <float[1, 2, 1, 1] w = {1.0, 2.0}, float[1] bias = {3.0},
         float[4] scales = {1.0, 1.0, 2.0, 2.0}> {
            large = Resize <mode = "linear"> (a, , scales)
            both = Concat <axis = 1> (large, b)
            y = Conv (both, w, bias)
        }

    After ``split-pointwise-conv{least-spared=0.25}``::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 1, 2, 2] a, float[1, 1, 4, 4] b) => (float[1, 1, 4, 4] y)
        <float[1] bias = {3.0}, float[4] scales = {1.0, 1.0, 2.0, 2.0},
         float[1, 1, 1, 1] w_part = {1.0}, float[1, 1, 1, 1] w_part_1 = {2.0},
         float[1, 1, 2, 2] y_part, float[1, 1, 4, 4] y_part_1, float[1, 1, 4, 4] y_part_2> {
            y_part = Conv (a, w_part, bias)
            y_part_1 = Resize <mode = "linear"> (y_part, , scales)
            y_part_2 = Conv (b, w_part_1)
            y = Add (y_part_1, y_part_2)
        }
    """

    name: ClassVar[str] = "split-pointwise-conv"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fuse-conv-batchnorm")
    effect: ClassVar[Effect] = "real-arithmetic"

    least_spared: float = 16.0

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Split every convolution that allows it; linear in nodes."""
        names, editor, sizes = NameAllocator(model), Editor(model), Sizes(model)
        sites = Sites(context)
        refusals: list[Refusal] = []
        weights: list[ir.Value | None] = []
        for scope in scopes(model):
            for graph in scope.graphs():
                for node in tuple(graph):
                    found = _match(node, sizes, self.least_spared)
                    if isinstance(found, str):
                        refusals.append(Refusal(node.name or "", node.op_type, found))
                    elif found is not None and sites.permit(node):
                        weights.append(node.inputs[1])
                        _split(found, scope, names, editor)
        editor.finish()
        for weight in weights:
            drop_unread(weight)
        split = len(sites.made)
        return PassResult(split > 0, {"split": split}, tuple(refusals), sites.made)


def _match(node: ir.Node, sizes: Sizes, least_spared: float) -> _Match | str | None:
    """Return how a pointwise convolution is split, why not, or None where nothing is enlarged."""
    if node.op_type != "Conv" or node.domain != "" or len(node.inputs) < 2:
        return None
    concat = _source(node, "Concat")
    values = [node.inputs[0]] if concat is None else list(concat.inputs)
    makers = [None if value is None else value.producer() for value in values]
    if not any(maker is not None and maker.op_type == "Resize" for maker in makers):
        return None
    weight = constant_tensor(node.inputs[1])
    reason = _obstacle(node, weight, concat)
    if reason or weight is None:
        return reason
    outputs, inputs = weight.shape.numpy()[:2]
    parts = [part_of(value, concat or node, outputs, sizes) for value in values]
    reasons = [part for part in parts if isinstance(part, str)]
    found = [part for part in parts if isinstance(part, Part)]
    if reasons:
        return reasons[0]
    if sum(part.channels for part in found) != inputs:
        return "the weight does not have one column for each channel"
    spared = sum(part.spared for part in found) / len(found)
    if spared < least_spared:
        return f"a part spares {spared:g} channels, of {least_spared:g} that its sum costs"
    return _Match(node, concat, tuple(found))


def _source(node: ir.Node, op_type: str) -> ir.Node | None:
    """Return what computes the first input, if it is such an operator."""
    producer = None if node.inputs[0] is None else node.inputs[0].producer()
    found = producer is not None and producer.domain == "" and producer.op_type == op_type
    return producer if found else None


def _obstacle(node: ir.Node, weight: ir.TensorProtocol | None, concat: ir.Node | None) -> str:
    if weight is None or weight.dtype not in FLOATS or is_shared(node.inputs[1]):
        return "the weight is not a constant of floats, or has other readers"
    attributes = node.attributes
    if any(attribute.is_ref() for attribute in attributes.values()):
        return "an attribute is a parameter of the enclosing function"
    shape = weight.shape.numpy()
    moves = [*attributes.get_ints("strides", ()), *shape[2:]]
    if any(size != 1 for size in moves) or any(attributes.get_ints("pads", ())):
        return "the convolution is not pointwise"
    if attributes.get_int("group", 1) != 1:
        return "the convolution has groups of channels"
    if concat is None:
        return ""
    axis = concat.attributes["axis"]
    if axis.is_ref() or axis.as_int() not in (1, 1 - len(shape)):
        return "the Concat is along another axis than the channels"
    return other_readers(concat, node)


def _split(match: _Match, scope: Scope, names: NameAllocator, editor: Editor) -> None:
    """Convolve each part, resize it, and add them up."""
    convolution = match.convolution
    weight_value, output = convolution.inputs[1], convolution.outputs[0]
    weight = constant_tensor(weight_value)
    assert weight is not None
    assert weight_value is not None
    made = _Made(convolution, names)
    bias = convolution.inputs[2] if len(convolution.inputs) > 2 else None
    total, start = None, 0
    for part in match.parts:
        columns = _columns(weight, start, part.channels, turned=part.transpose is not None)
        name = names.fresh(f"{weight_value.name}_part")
        factor = add_constant(convolution, name, columns, is_function=scope.is_function)
        value = _product(made, part, factor, bias)
        if part.resize is not None:
            value = made.op("Resize", [value, *part.resize.inputs[1:]], part.resize, output.shape)
        total = value if total is None else made.op("Add", [total, value], None, output.shape)
        start, bias = start + part.channels, None
    assert total is not None
    editor.redirect(output, total)
    passed = [node for part in match.parts for node in part.passed]
    for node in (convolution, *([] if match.concat is None else [match.concat]), *passed):
        editor.remove(node)


def _product(made: _Made, part: Part, factor: ir.Value, bias: ir.Value | None) -> ir.Value:
    """Return the product of a part's channels, plus the bias, in the layout of ``part.data``."""
    outputs = made.convolution.outputs[0].shape
    shape = None if part.data.shape is None else part.data.shape.copy()
    if shape is not None and outputs is not None:
        shape[1] = outputs[1]
    if part.transpose is None:
        inputs = [part.data, factor, bias] if bias is not None else [part.data, factor]
        return made.op("Conv", inputs, made.convolution, shape)
    turned = None if shape is None else ir.Shape([shape[0], *shape[2:], shape[1]])
    value = made.op("MatMul", [part.transpose.inputs[0], factor], None, turned)
    if bias is not None:
        value = made.op("Add", [value, bias], None, turned)
    return made.op("Transpose", [value], part.transpose, shape)


@dataclass(frozen=True)
class _Made:
    """Makes the nodes in the place of a convolution."""

    convolution: ir.Node
    names: NameAllocator

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        like: ir.Node | None,
        shape: ir.Shape | None,
    ) -> ir.Value:
        """Add a node with the attributes of ``like`` in front, and return its output."""
        output, graph = self.convolution.outputs[0], self.convolution.graph
        assert graph is not None
        attributes = [] if like is None else list(like.attributes.values())
        node = ir.Node("", op_type, inputs, attributes)
        value = node.outputs[0]
        node.name = value.name = self.names.fresh(f"{output.name}_part")
        if shape is not None:
            value.type, value.shape = output.type, shape.copy()
        node.metadata_props.update(self.convolution.metadata_props)
        graph.insert_before(self.convolution, node)
        return value


def _columns(weight: ir.TensorProtocol, start: int, count: int, *, turned: bool) -> ir.LazyTensor:
    """Return the weights of some input channels: (out, in, 1, ...), or (in, out) if turned."""
    outputs, _, *ones = weight.shape.numpy()

    def part() -> ir.Tensor[np.ndarray]:
        found = weight.numpy()[:, start : start + count]
        kept = found.reshape(outputs, count).T if turned else found
        return ir.Tensor(np.ascontiguousarray(kept), dtype=weight.dtype)

    shape = ir.Shape([count, outputs] if turned else [outputs, count, *ones])
    return ir.LazyTensor(part, weight.dtype, shape)
