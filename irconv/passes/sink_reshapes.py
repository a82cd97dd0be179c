"""Moving reshapes that only add or drop dimensions of size 1 behind the transpose after them.

Dimensions of size 1 hold no place in the order of elements, so a transpose of a tensor with such
dimensions is the transpose of the tensor without them, seen with them afterwards. There the
reshape meets others, which it merges with, and the transpose meets the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.add_constant import add_constant
from irconv.graph.constants import is_constant
from irconv.graph.edit import Editor
from irconv.graph.names import NameAllocator
from irconv.graph.reshape_form import (
    Item,
    Kept,
    ReshapeForm,
    dims_as_items,
    reshape_form,
    reshape_target,
)
from irconv.graph.scopes import Scope, scopes
from irconv.graph.unread import drop_unread
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.layout.aliases import transpose_order

__all__ = ["SinkReshapes"]

_OLDEST_OPSET = 5


@dataclass(frozen=True)
class SinkReshapes(Pass):
    """Transpose first and add dimensions of size 1 afterwards, where that meets its like.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 2, 3] x) => (float[N, 2, 12] y)
        <int64[1] one = {1}, int64[3] all = {0, 2, 12}, float[N, 1, 4, 2, 3] u,
         float[N, 2, 1, 4, 3] t> {
            u = Unsqueeze(x, one)
            t = Transpose <perm = [0, 3, 1, 2, 4]> (u)
            y = Reshape(t, all)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 2, 3] x) => (float[N, 2, 12] y)
        <int64[3] all = {0, 2, 12}, int64[5] t_shape = {0, 2, 1, 4, 3},
         float[N, 2, 4, 3] t_moved, float[N, 2, 1, 4, 3] t> {
            t_moved = Transpose <perm = [0, 2, 1, 3]> (x)
            t = Reshape(t_moved, t_shape)
            y = Reshape(t, all)
        }
    """

    name: ClassVar[str] = "sink-reshapes"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "merge-reshapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Move in one sweep; linear in nodes."""
        del context
        sinker = _Sinker(model)
        for scope in scopes(model):
            if scope.opsets.get("", 1) < _OLDEST_OPSET:
                continue
            for graph in scope.graphs():
                for node in tuple(graph):
                    if node.op_type == "Transpose" and node.domain == "":
                        sinker.visit(node, scope)
        return PassResult(sinker.count > 0, {"moved": sinker.count}, tuple(sinker.refusals))


class _Sinker:
    def __init__(self, model: ir.Model) -> None:
        self.count = 0
        self.refusals: list[Refusal] = []
        self._editor = Editor(model)
        self._names = NameAllocator(model)

    def visit(self, node: ir.Node, scope: Scope) -> None:
        order, value = transpose_order(node), node.inputs[0]
        before = None if value is None else value.producer()
        form = None if before is None else reshape_form(before)
        if order is None or value is None or before is None or form is None:
            return
        if reshape_form(node) is not None or is_constant(form.source):
            return
        reason = _obstacle(node, value, before, form)
        moved = None if reason else _moved(form, order)
        if reason or moved is None:
            reason = reason or f"{before.op_type} does more than add or drop dimensions of size 1"
            self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            return
        first, items = moved
        target = reshape_target(ReshapeForm(form.source, items))
        if target is None:
            reason = "more than one dynamic dimension would change its place"
            self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            return
        self._move(node, before, form.source, first, target, scope)
        self.count += 1

    def _move(
        self,
        node: ir.Node,
        before: ir.Node,
        source: ir.Value,
        order: tuple[int, ...],
        target: tuple[int, ...],
        scope: Scope,
    ) -> None:
        output, graph = node.outputs[0], node.graph
        assert graph is not None
        assert source.shape is not None
        transpose = ir.Node("", "Transpose", [source], [ir.AttrInt64s("perm", order)])
        between = transpose.outputs[0]
        between.name = transpose.name = self._names.fresh(f"{output.name}_moved")
        between.type = output.type
        between.shape = ir.Shape([source.shape[axis] for axis in order])
        name = self._names.fresh(f"{output.name}_shape")
        tensor = ir.Tensor(np.array(target, np.int64))
        shape = add_constant(node, name, tensor, is_function=scope.is_function)
        reshape = ir.Node("", "Reshape", [between, shape], name=node.name)
        result = reshape.outputs[0]
        result.type, result.shape, result.name = output.type, output.shape, output.name
        for new in (transpose, reshape):
            new.metadata_props.update(node.metadata_props)
        graph.insert_before(node, (transpose, reshape))
        if not output.is_graph_output():
            output.name = None
        self._editor.redirect(output, result)
        read = before.inputs[1:]
        self._editor.remove(node)
        self._editor.remove(before)
        self._editor.finish()
        for value in read:
            drop_unread(value)


def _obstacle(node: ir.Node, value: ir.Value, before: ir.Node, form: ReshapeForm) -> str:
    if before.graph is not node.graph or value.is_graph_output() or len(value.uses()) != 1:
        return f"{value.name!r} has other readers"
    earlier = form.source.producer()
    if earlier is not None and transpose_order(earlier) is not None:
        return ""
    output = node.outputs[0]
    readers = [user for user, _ in output.uses()]
    if output.is_graph_output() or not all(reshape_form(user) is not None for user in readers):
        return f"{before.op_type} would meet no other reshape behind it"
    return ""


def _moved(
    form: ReshapeForm, order: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[Item, ...]] | None:
    """Return the order to transpose the source in, and the sizes to give it afterwards."""
    dims = dims_as_items(form.source.shape)
    if dims is None or len(order) != len(form.items):
        return None
    inner = [axis for axis, dim in enumerate(dims) if dim != 1]
    outer = [axis for axis, item in enumerate(form.items) if item != 1]
    if [dims[axis] for axis in inner] != [form.items[axis] for axis in outer]:
        return None
    source_of = dict(zip(outer, inner, strict=True))
    ones = [axis for axis, dim in enumerate(dims) if dim == 1]
    first = (*ones, *(source_of[axis] for axis in order if axis in source_of))
    place_of = {axis: place for place, axis in enumerate(first)}
    items: list[Item] = []
    for axis in order:
        item = form.items[axis]
        items.append(item if isinstance(item, int) else Kept(place_of[source_of[axis]]))
    return first, tuple(items)
