"""Storing equal initializers once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.digest import TensorKey
from irconv.graph.edit import Editor
from irconv.graph.scoped import ScopedTable
from irconv.graph.scopes import scopes
from irconv.graph.walk import all_graphs, subgraphs_of
from irconv.passes.base import Pass, PassContext, PassResult, Refusal, Site
from irconv.passes.sites import Sites

__all__ = ["DedupInitializers"]

_Kind = tuple[ir.DataType, tuple[int, ...]]


@dataclass(frozen=True)
class DedupInitializers(Pass):
    """Keep one of the initializers that have equal dtype, shape and bytes.

    An initializer in a body gives way to an equal one of an enclosing graph. Overridable
    initializers, which are graph inputs too, are left alone. Weights are hardly read: only
    tensors that share dtype and shape are looked at, a sample of each first, and the whole
    only where samples agree.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 2] y)
        <float[2] w = {1, 2}, float[2] v = {1, 2}> {
            a = Mul(x, w)
            y = Add(a, v)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2] x) => (float[N, 2] y)
        <float[2] w = {1, 2}> {
            a = Mul(x, w)
            y = Add(a, w)
        }
    """

    name: ClassVar[str] = "dedup-initializers"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge equal initializers; linear in initializers, and in bytes of those that agree."""
        kinds = Counter(
            _kind(tensor) for graph in all_graphs(model) for tensor in graph.initializers.tensors()
        )
        merger = _Merger(Editor(model), kinds, Sites(context))
        for scope in scopes(model):
            merger.merge(scope.graph)
        made = merger.sites.made
        details = {"merged": len(made), "bytes": merger.bytes}
        return PassResult(bool(made), details, tuple(merger.refusals), made)


def _kind(tensor: ir.TensorProtocol) -> _Kind:
    return tensor.dtype, tuple(tensor.shape.numpy())


class _Merger:
    """Merges graph by graph, each body seeing what its enclosing graphs keep."""

    def __init__(self, editor: Editor, kinds: Counter[_Kind], sites: Sites) -> None:
        self._editor = editor
        self._kinds = kinds
        self._kept: ScopedTable[TensorKey, ir.Value] = ScopedTable()
        self.sites = sites
        self.bytes = 0
        self.refusals: list[Refusal] = []

    def merge(self, graph: ir.Graph) -> None:
        with self._kept.scope():
            for value in list(graph.initializers.values()):
                tensor = value.const_value
                if tensor is None or value.is_graph_input() or self._kinds[_kind(tensor)] < 2:
                    continue
                if type(tensor) is ir.LazyTensor:
                    continue  # Comparing would compute it, and what it is made of is distinct.
                first = self._kept.setdefault(TensorKey(tensor), value)
                if first is not value:
                    self._replace(graph, value, first)
            for node in graph:
                for body in subgraphs_of(node):
                    self.merge(body)

    def _replace(self, graph: ir.Graph, value: ir.Value, first: ir.Value) -> None:
        name = value.name or ""
        reason = self._editor.blocker(value, first)
        if reason:
            self.refusals.append(Refusal(name, "initializer", reason))
            return
        if not self.sites.permit(Site(name, "initializer")):
            return
        self._editor.redirect(value, first)
        del graph.initializers[name]
        self.bytes += 0 if value.const_value is None else value.const_value.nbytes
