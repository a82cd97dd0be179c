"""Channel-first operators become channel-last ones; transposes are few, and between regions.

A value may be held in another order of its dimensions than the model says. TFLite has
convolutions, pools and resizing in channel-last form only, so those fix the order of what they
read and write. Operators that work in any order (elementwise, concatenation, reductions, …) form
regions between them, and each region takes the order that needs fewer transposes: with the
transposes of the model counted in, since they are only other views of a value.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ConvertLayout"]

_OLDEST = 18


@dataclass(frozen=True)
class ConvertLayout(Pass):
    """Hold images channel-last and use the channel-last operators of TFLite.

    Such an operator is a node of the domain ``irconv.nhwc``, named as in ONNX with ``1D`` or
    ``3D`` behind it where it has not two spatial dimensions. A model-local function defines it
    by the ONNX operator between two transposes, so the model runs as before. Weights, and all
    other operands and attributes, are those of ONNX. Inputs and outputs keep their layout.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[1, 3, 8, 8] x, float[4, 3, 3, 3] w) => (float[1, 4] y)
        <int64[2] axes = {2, 3}, float[1, 4, 6, 6] image, float[1, 4, 6, 6] active>
        {
            image = Conv(x, w)
            active = Relu(image)
            y = ReduceMean<keepdims = 0>(active, axes)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28, "irconv.nhwc" : 1]>
        example (float[1, 3, 8, 8] x, float[4, 3, 3, 3] w) => (float[1, 4] y)
        <int64[2] y_operand = {1, 2}, float[1, 8, 8, 3] x_last,
         float[1, 6, 6, 4] image_last, float[1, 6, 6, 4] active_last>
        {
            x_last = Transpose<perm = [0, 2, 3, 1]>(x)
            image_last = irconv.nhwc.Conv(x_last, w)
            active_last = Relu(image_last)
            y = ReduceMean<keepdims = 0>(active_last, y_operand)
        }
        <domain: "irconv.nhwc", opset_import: ["" : 28]>
        Conv <auto_pad, dilations, kernel_shape, pads, strides, group> (x, weight, bias) => (y)
        {
            x_first = Transpose<perm = [0, 3, 1, 2]>(x)
            y_first = Conv<auto_pad: string = @auto_pad, dilations: ints = @dilations,
                kernel_shape: ints = @kernel_shape, pads: ints = @pads, strides: ints = @strides,
                group: int = @group>(x_first, weight, bias)
            y = Transpose<perm = [0, 2, 3, 1]>(y_first)
        }
    """

    name: ClassVar[str] = "convert-layout"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes",)
    effect: ClassVar[Effect] = "real-arithmetic"
    once: ClassVar[bool] = True

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Choose layouts and rewrite the model; linear in nodes."""
        from irconv.graph.walk import nested_graphs
        from irconv.passes.layout.candidates import grow, held
        from irconv.passes.layout.choice import choose
        from irconv.passes.layout.form import Form
        from irconv.passes.layout.rewrite import Rewriter
        from irconv_tflite.emit.lower import refusal_of
        from irconv_tflite.passes.layout.anchors import CHANNEL_LAST_RULES, anchor_form
        from irconv_tflite.passes.layout.functions import DOMAIN, define

        del context
        if model.graph.opset_imports.get("", 0) < _OLDEST:
            return PassResult(False, {"needs-opset": _OLDEST})
        graphs = [model.graph, *nested_graphs(model.graph)]
        anchors: dict[ir.Node, Form] = {}
        refusals = []
        for node in (node for graph in graphs for node in graph):
            form = anchor_form(node)
            if isinstance(form, Form):
                refusal = refusal_of(node)
                form = form if refusal is None else refusal.reason
            if isinstance(form, Form):
                anchors[node] = form
            elif form:
                refusals.append(Refusal(node.name or "", node.op_type, form))
        if not anchors:
            return PassResult(False, refusals=tuple(refusals))
        seeds = (item for node, form in anchors.items() for item in held(node, form))
        forms = choose(grow(anchors, seeds, CHANNEL_LAST_RULES), anchors, graphs)
        for node, form in forms.items():
            if form.domain == DOMAIN:
                define(model, node.op_type, len(form.outputs[0] or ()))
        rewriter = Rewriter(model, forms, "last")
        rewriter.run()
        details = {
            "channel-last": dict(Counter(node.op_type for node in anchors)),
            "other": len(forms) - len(anchors),
            "transposes": rewriter.transposes,
        }
        return PassResult(True, details, tuple(refusals))
