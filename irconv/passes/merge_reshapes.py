"""Merging of reshapings: two in a row are one, since neither moves an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.reshape_form import ReshapeForm, dims_as_items, reshape_form, reshape_target
from irconv.graph.scopes import scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.edits import Edits
from irconv.passes.rewrite import Place
from irconv.passes.sites import Sites

__all__ = ["MergeReshapes"]

_OLDEST_OPSET = 5


@dataclass(frozen=True)
class _Joined:
    """A chain of reshapings as one: what it reshapes, and to what, as Reshape reads it."""

    source: ir.Value
    target: tuple[int, ...]


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
        merger = _Merger(model, Sites(context))
        for scope in scopes(model):
            if scope.opsets.get("", 1) < _OLDEST_OPSET:
                continue
            for graph in scope.graphs():
                merger.merge(graph, Place(scope, merger.edits))
        made = merger.sites.made
        return PassResult(bool(made), {"merged": len(made)}, tuple(merger.refusals), made)


class _Merger:
    """One run; it remembers which values nothing but reshapings read."""

    def __init__(self, model: ir.Model, sites: Sites) -> None:
        self.edits = Edits(model)
        self.sites = sites
        self.refusals: list[Refusal] = []
        self._reshaped_only: dict[ir.Value, bool] = {}

    def merge(self, graph: ir.Graph, place: Place) -> None:
        for node in tuple(graph):
            form = reshape_form(node)
            producer = None if form is None else form.source.producer()
            before = None if producer is None else reshape_form(producer)
            if form is None or producer is None or before is None or is_constant(before.source):
                continue
            found = self._obstacle(form.source, producer, graph) or self._joined(
                node, form.of(before)
            )
            if isinstance(found, str):
                self.refusals.append(Refusal(node.name or "", node.op_type, found))
            elif self.sites.permit(node):
                _join(node, found, place)
                _drop(producer)

    def _joined(self, node: ir.Node, form: ReshapeForm) -> ir.Value | _Joined | str:
        """Return what reshapes the source of the whole chain, the source itself, or why not."""
        unchanged = form.items == dims_as_items(form.source.shape)
        if unchanged and not self.edits.editor.blocker(node.outputs[0], form.source):
            return form.source
        target = reshape_target(form)
        if target is None:
            return "more than one size is neither a number nor at the place that it has before"
        return _Joined(form.source, target)

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


def _join(node: ir.Node, joined: ir.Value | _Joined, place: Place) -> None:
    """Let what reads the node read the source, or one reshaping of it."""
    output, shapes = node.outputs[0], node.inputs[1:]
    if isinstance(joined, ir.Value):
        place.editor.redirect(output, joined)
        place.editor.remove(node)
    else:
        shape = place.constant(node, f"{output.name}_shape", joined.target)
        merged = ir.Node("", "Reshape", [joined.source, shape], name=node.name)
        merged.metadata_props.update(node.metadata_props)
        place.editor.replace_node(node, merged)
    place.editor.finish()
    for value in shapes:
        drop_unread(value)


def _drop(node: ir.Node) -> None:
    """Drop a reshaping that nothing reads any more."""
    output, inputs = node.outputs[0], tuple(node.inputs)
    if output.uses() or node.graph is None:
        return
    node.graph.remove(node, safe=True)
    for value in inputs:
        drop_unread(value)
