"""Lifting of ``Constant`` nodes: a constant is data of the graph, not a step of its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.renamed_tensor import renamed_tensor
from irconv.passes.base import PassContext, PassResult
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["LiftConstants"]

_OLDEST_IR_VERSION = 4


@dataclass(frozen=True)
class LiftConstants(NodeRewrite[ir.TensorProtocol]):
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

    op_types: ClassVar[frozenset[str]] = frozenset({"Constant"})
    counted: ClassVar[str] = "lifted"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Lift in one sweep, where the IR version allows it; no large weight is read."""
        if model.ir_version is not None and model.ir_version < _OLDEST_IR_VERSION:
            return PassResult(False, {"needs-ir-version": _OLDEST_IR_VERSION})
        return super().run(model, context)

    def match(self, node: ir.Node, place: Place) -> ir.TensorProtocol | str | None:
        """Return the tensor of a ``Constant``; see :class:`NodeRewrite`."""
        output = node.outputs[0]
        if place.scope.is_function:
            return None
        if output.is_graph_output():
            return f"{output.name!r} is a graph output"
        tensor = constant_tensor(output)
        return "it holds a sparse tensor" if tensor is None else tensor

    def rewrite(self, node: ir.Node, match: ir.TensorProtocol, place: Place) -> None:
        """Put an initializer of the same name in the place of the node."""
        output = node.outputs[0]
        name = output.name or ""
        value = ir.Value(
            name=name,
            type=ir.TensorType(match.dtype),
            shape=ir.Shape(match.shape.numpy()),
            const_value=renamed_tensor(match, name),
        )
        value.doc_string = output.doc_string
        value.metadata_props.update(output.metadata_props)
        assert isinstance(node.graph, ir.Graph)
        node.graph.register_initializer(value)
        place.editor.redirect(output, value)
        place.editor.remove(node)
