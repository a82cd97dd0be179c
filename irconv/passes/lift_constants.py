"""Lifting of ``Constant`` nodes: a constant is data of the graph, not a step of its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.edit import Editor
from irconv.graph.renamed_tensor import renamed_tensor
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal

__all__ = ["LiftConstants"]

_OLDEST_IR_VERSION = 4


@dataclass(frozen=True)
class LiftConstants(Pass):
    """Make each ``Constant`` node an initializer of its graph, in bodies too.

    Local functions can hold no initializers, and models of IR versions before 4 none that are
    not also inputs; there the nodes stay, and so does one whose output is a graph output.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y) {
            half = Constant <value = float {0.5}> ()
            y = Mul(x, half)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4] x) => (float[N, 4] y)
        <float half = {0.5}> {
            y = Mul(x, half)
        }
    """

    name: ClassVar[str] = "lift-constants"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Lift in one sweep; linear in nodes. No large weight is read."""
        del context
        if model.ir_version is not None and model.ir_version < _OLDEST_IR_VERSION:
            return PassResult(False, {"needs-ir-version": _OLDEST_IR_VERSION})
        editor = Editor(model)
        refusals: list[Refusal] = []
        for graph in (model.graph, *nested_graphs(model.graph)):
            for node in tuple(_constants(graph)):
                reason = _obstacle(node)
                if reason:
                    refusals.append(Refusal(node.name or "", node.op_type, reason))
                else:
                    _lift(node, graph, editor)
        lifted = editor.finish()
        return PassResult(lifted > 0, {"lifted": lifted}, tuple(refusals))


def _constants(graph: ir.Graph) -> Iterator[ir.Node]:
    for node in graph:
        if node.op_type == "Constant" and node.domain == "":
            yield node


def _obstacle(node: ir.Node) -> str:
    output = node.outputs[0]
    if output.is_graph_output():
        return f"{output.name!r} is a graph output"
    if constant_tensor(output) is None:
        return "it holds a sparse tensor"
    return ""


def _lift(node: ir.Node, graph: ir.Graph, editor: Editor) -> None:
    output = node.outputs[0]
    tensor = constant_tensor(output)
    assert tensor is not None
    name = output.name or ""
    value = ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=renamed_tensor(tensor, name),
    )
    value.doc_string = output.doc_string
    value.metadata_props.update(output.metadata_props)
    graph.register_initializer(value)
    editor.redirect(output, value)
    editor.remove(node)
