"""Merging of reshapings: two in a row are one, since neither moves an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.add_constant import add_constant
from irconv.graph.constants import is_constant
from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator
from irconv.graph.reshape_form import ReshapeForm, dims_as_items, reshape_form, reshape_target
from irconv.graph.scopes import Scope, scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Pass, PassContext, PassResult, Refusal

__all__ = ["MergeReshapes"]

_OLDEST_OPSET = 5


@dataclass(frozen=True)
class MergeReshapes(Pass):
    """Make one ``Reshape`` of a chain of Reshape, Flatten, Squeeze, Unsqueeze, and Transpose.

    A Transpose counts where it moves only dimensions of size 1. A chain that ends in the shape
    it began with goes altogether.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 6, 4] x) => (float[N, 2, 12] y)
        <int64[4] heads = {0, 3, 2, 4}, int64[1] one = {1}, float[N, 3, 2, 4] a,
         float[N, 1, 3, 2, 4] b, float[N, 24] c> {
            a = Reshape(x, heads)
            b = Unsqueeze(a, one)
            c = Flatten(b)
            shape = Constant <value = int64[3] {0, 2, 12}> ()
            y = Reshape(c, shape)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 6, 4] x) => (float[N, 2, 12] y)
        <int64[3] y_shape = {0, 2, 12}> {
            y = Reshape(x, y_shape)
        }
    """

    name: ClassVar[str] = "merge-reshapes"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fold-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in one sweep; linear in nodes."""
        del context
        merger = _Merger(model)
        for scope in scopes(model):
            if scope.opsets.get("", 1) < _OLDEST_OPSET:
                continue
            for graph in scope.graphs():
                merger.merge(graph, scope)
        return PassResult(merger.count > 0, {"merged": merger.count}, tuple(merger.refusals))


class _Merger:
    def __init__(self, model: ir.Model) -> None:
        self.count = 0
        self.refusals: list[Refusal] = []
        self._editor = Editor(model)
        self._names: NameAllocator | None = None
        self._model = model
        self._reshaped_only: dict[ir.Value, bool] = {}

    def merge(self, graph: ir.Graph, scope: Scope) -> None:
        for node in tuple(graph):
            form = reshape_form(node)
            producer = None if form is None else form.source.producer()
            before = None if producer is None else reshape_form(producer)
            if form is None or producer is None or before is None or is_constant(before.source):
                continue
            reason = self._obstacle(form.source, producer, graph) or self._join(
                node, form.of(before), scope
            )
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif not form.source.uses():
                inputs = tuple(producer.inputs)
                graph.remove(producer, safe=True)
                for value in inputs:
                    drop_unread(value)

    def _join(self, node: ir.Node, form: ReshapeForm, scope: Scope) -> str:
        """Let the node reshape the source of the whole chain; return why not if it cannot."""
        output = node.outputs[0]
        if form.items == dims_as_items(form.source.shape):
            reason = self._editor.blocker(output, form.source)
            if not reason:
                self._editor.redirect(output, form.source)
                self._drop(node)
                return ""
        target = reshape_target(form)
        if target is None:
            return "more than one size is neither a number nor at the place that it has before"
        self._names = self._names or NameAllocator(self._model)
        name = self._names.fresh(f"{output.name}_shape")
        tensor = ir.Tensor(np.array(target, np.int64))
        shape = add_constant(node, name, tensor, is_function=scope.is_function)
        merged = ir.Node("", "Reshape", [form.source, shape], name=node.name)
        merged.metadata_props.update(node.metadata_props)
        result = merged.outputs[0]
        result.type, result.shape = output.type, output.shape
        assert node.graph is not None
        node.graph.insert_before(node, merged)
        result.name = output.name
        if not output.is_graph_output():
            output.name = None
        self._editor.redirect(output, result)
        self._drop(node)
        return ""

    def _drop(self, node: ir.Node) -> None:
        inputs = tuple(node.inputs)
        assert node.graph is not None
        node.graph.remove(node, safe=True)
        for value in inputs[1:]:
            drop_unread(value)
        self.count += 1

    def _obstacle(self, between: ir.Value, producer: ir.Node, graph: ir.Graph) -> str:
        if producer.graph is not graph:
            return f"{between.name!r} is computed in an enclosing graph"
        if between.is_graph_output():
            return f"{between.name!r} is also a graph output"
        if between not in self._reshaped_only:
            readers = [user for user, _ in between.uses()]
            self._reshaped_only[between] = all(reshape_form(user) is not None for user in readers)
        if not self._reshaped_only[between]:
            return f"{between.name!r} has other readers"
        return ""
