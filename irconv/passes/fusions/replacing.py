"""Putting a fused node in the place of a region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.edit import Editor, constants_to_front, detach
from irconv.graph.unread import drop_unread
from irconv.passes.fusions.fused import Fused, Item, Made, Output, values_of
from irconv.passes.rewrite import Place

if TYPE_CHECKING:
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["drop_dead", "replace_region"]


def replace_region(found: Fused, nodes: Sequence[ir.Node], at: Place) -> list[ir.Value]:
    """Put the new node in the place of the region, and return what the region read.

    Args:
        found: The new node.
        nodes: The region.
        at: Where it is, and the edits of the run.
    """
    for value, shape in found.shapes.items():
        value.shape = shape
    place = found.place
    root = found.replaced[0].producer()
    assert place.graph is not None
    assert root is not None
    stem = found.replaced[0].name or found.op_type
    maker = _Maker(place, stem, at)
    if found.before is not None:
        constants_to_front(place.graph, values_of(found.inputs))
    made = ir.Node(
        found.domain,
        found.op_type,
        [maker.operand(item) for item in found.inputs],
        [
            ir.convenience.convert_attribute(name, value)
            for name, value in found.attributes.items()
            if value is not None
        ],
        num_outputs=len(found.outputs),
        name=root.name,
        metadata_props=dict(root.metadata_props),
    )
    used = _outputs_read(found.derived.values())
    for index, value in enumerate(made.outputs):
        value.name = at.names.fresh(f"{stem}_{found.op_type}") if index in used else ""
    root.name = None
    place.graph.insert_before(place, made)
    if found.domain:
        at.scope.graph.opset_imports.setdefault(found.domain, 1)
    for old, new in zip(found.outputs, made.outputs, strict=True):
        if old is not None:
            _take_over(old, new, at.editor, found.sizes)
    maker.outputs = made.outputs
    for old, item in found.derived.items():
        _take_over(old, maker.made(item), at.editor, found.sizes)
    read = [value for node in nodes for value in node.inputs if value is not None]
    for node in nodes:
        detach(node)
        at.editor.remove(node)
    return read


def _outputs_read(items: Iterable[Item]) -> set[int]:
    found: set[int] = set()
    stack = list(items)
    while stack:
        item = stack.pop()
        if isinstance(item, Output):
            found.add(item.index)
        elif isinstance(item, Made):
            stack += item.inputs
    return found


class _Maker:
    """Makes the operands of one new node, and what is derived from it; each item once."""

    def __init__(self, before: ir.Node, stem: str, place: Place) -> None:
        self._before = before
        self._stem = stem
        self._place = place
        self._known: dict[int, ir.Value] = {}
        self.outputs: Sequence[ir.Value] = ()

    def operand(self, item: Item) -> ir.Value | None:
        if isinstance(item, Made):
            return self.made(item)
        if isinstance(item, Output):
            return self.outputs[item.index]
        if item is None or isinstance(item, ir.Value):
            return item
        return self._place.constant(self._before, f"{self._stem}_constant", item)

    def made(self, item: Made) -> ir.Value:
        if id(item) in self._known:
            return self._known[id(item)]
        node = ir.Node(
            "",
            item.op_type,
            [self.operand(part) for part in item.inputs],
            [
                ir.convenience.convert_attribute(name, value)
                for name, value in item.attributes.items()
            ],
            name=self._place.names.fresh(f"{self._stem}_{item.op_type}"),
        )
        value = node.outputs[0]
        value.name = node.name
        if item.dtype is not None:
            value.dtype = item.dtype
        assert self._before.graph is not None
        self._before.graph.insert_before(self._before, node)
        self._known[id(item)] = value
        return value


def _take_over(old: ir.Value, new: ir.Value, editor: Editor, sizes: Sizes | None) -> None:
    """Let ``new`` take the readers, the name, the type, the shape and the sizes of ``old``."""
    if sizes is not None:
        sizes.put_in_place(old, new)
    new.type, new.shape = old.type, old.shape
    editor.replace(old, new)


def drop_dead(value: ir.Value) -> None:
    """Drop constants that nothing reads, and nodes that computed nothing else but ``value``."""
    stack = [value]
    while stack:
        item = stack.pop()
        node = item.producer()
        drop_unread(item)
        if node is None or not isinstance(node.graph, ir.Graph) or is_constant(item):
            continue
        if any(output.uses() or output.is_graph_output() for output in node.outputs):
            continue
        inputs = [source for source in node.inputs if source is not None]
        detach(node)
        node.graph.remove(node, safe=True)
        stack += inputs
