"""Moving reshapes that only add or drop dimensions of size 1 behind the transpose after them.

Dimensions of size 1 hold no place in the order of elements, so a transpose of a tensor with such
dimensions is the transpose of the tensor without them, seen with them afterwards. There the
reshape meets others, which it merges with, and the transpose meets the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.reshape_form import (
    Item,
    Kept,
    ReshapeForm,
    dims_as_items,
    reshape_form,
    reshape_target,
)
from irconv.graph.unread import drop_unread
from irconv.passes.layout.aliases import transpose_order
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["SinkReshapes"]


@dataclass(frozen=True)
class _Match:
    """A reshape before a transpose, as a transpose and a reshape.

    Attributes:
        before: The reshape, which goes.
        source: What it reads.
        order: The order to transpose the source in.
        target: The shape to give it afterwards, as Reshape reads it.
    """

    before: ir.Node
    source: ir.Value
    order: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True)
class SinkReshapes(NodeRewrite[_Match]):
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

    op_types: ClassVar[frozenset[str]] = frozenset({"Transpose"})
    oldest_opset: ClassVar[int] = 5
    counted: ClassVar[str] = "moved"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return how to transpose first; see :class:`NodeRewrite`."""
        del place
        order, value = transpose_order(node), node.inputs[0]
        before = None if value is None else value.producer()
        form = None if before is None else reshape_form(before)
        if order is None or value is None or before is None or form is None:
            return None
        if reshape_form(node) is not None or is_constant(form.source):
            return None
        reason = _obstacle(node, value, before, form)
        if reason:
            return reason
        moved = _moved(form, order)
        if moved is None:
            return f"{before.op_type} does more than add or drop dimensions of size 1"
        first, items = moved
        target = reshape_target(ReshapeForm(form.source, items))
        if target is None:
            return "more than one dynamic dimension would change its place"
        return _Match(before, form.source, first, target)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Put a transpose and a reshape in the place of a reshape and a transpose."""
        output, source = node.outputs[0], match.source
        assert source.shape is not None
        assert node.graph is not None
        transpose = ir.Node("", "Transpose", [source], [ir.AttrInt64s("perm", match.order)])
        between = transpose.outputs[0]
        between.name = transpose.name = place.names.fresh(f"{output.name}_moved")
        between.type = output.type
        between.shape = ir.Shape([source.shape[axis] for axis in match.order])
        shape = place.constant(node, f"{output.name}_shape", match.target)
        reshape = ir.Node("", "Reshape", [between, shape], name=node.name)
        for new in (transpose, reshape):
            new.metadata_props.update(node.metadata_props)
        node.graph.insert_before(node, transpose)
        place.editor.replace_node(node, reshape)
        read = match.before.inputs[1:]
        place.editor.remove(match.before)
        place.editor.finish()
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
