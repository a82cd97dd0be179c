"""Merging of concatenations: of concatenations, and of parts of one tensor.

Putting tensors side by side is associative. Parts of one tensor side by side are its elements at
a list of indices, so they are a part of it again where the indices run on, and else a Gather
(ONNX operator specifications of Concat, Slice, Split and Gather).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.edit import Editor
from irconv.graph.slice_form import part_of
from irconv.graph.unread import drop_unread
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["MergeConcats"]

_MOST_INDICES = 1 << 14


@dataclass(frozen=True)
class _Parts:
    """Parts of one tensor that a Concat puts together.

    Attributes:
        source: The tensor.
        axis: The axis that it is cut along, counted from 0.
        indices: The indices along the axis, in the order of the result.
    """

    source: ir.Value
    axis: int
    indices: list[int]

    def is_whole(self) -> bool:
        """Return whether the parts are the tensor again."""
        size = None if self.source.shape is None else self.source.shape[self.axis]
        return isinstance(size, int) and self.indices == list(range(size))


@dataclass(frozen=True)
class MergeConcats(NodeRewrite[ir.Node | _Parts]):
    """Make one Concat of nested ones, and one Gather or Slice of what puts parts of one tensor.

    Rolling a tensor along an axis, which exporters write as two slices put together the other
    way round, becomes one Gather. Along the last axis it stays, because a Gather there copies
    numbers one by one.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 2] x) => (float[N, 8, 2] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] end = {4}, float[N, 3, 2] a,
         float[N, 1, 2] b, float[N, 4, 2] c> {
            a = Slice(x, one, end, one)
            b = Slice(x, zero, one, one)
            c = Concat <axis = 1> (a, b)
            y = Concat <axis = 1> (c, x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 2] x) => (float[N, 8, 2] y)
        <int64[8] y_indices = {1, 2, 3, 0, 0, 1, 2, 3}> {
            y = Gather <axis = 1> (x, y_indices)
        }
    """

    name: ClassVar[str] = "merge-concats"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "eliminate-no-op")

    op_types: ClassVar[frozenset[str]] = frozenset({"Concat"})
    oldest_opset: ClassVar[int] = 11

    def match(self, node: ir.Node, place: Place) -> ir.Node | _Parts | str | None:
        """Return the Concat that can read all that this one does, or what this one puts together.

        See :class:`NodeRewrite`.
        """
        axis = node.attributes.get("axis")
        if len(node.inputs) < 2 or axis is None or axis.is_ref():
            return None
        reader = _reading_concat(node, axis.as_int())
        if reader is not None:
            return reader
        parts = _parts(node, axis.as_int())
        return parts if parts is None else _obstacle(node, parts, place.editor) or parts

    def rewrite(self, node: ir.Node, match: ir.Node | _Parts, place: Place) -> None:
        """Merge the Concat into the one that reads it, or take its parts by one node."""
        if isinstance(match, ir.Node):
            _flatten(node, match)
        else:
            _take(node, match, place)


def _flatten(node: ir.Node, reader: ir.Node) -> None:
    """Give a Concat that reads this one all that it reads."""
    output = node.outputs[0]
    inputs: list[ir.Value | None] = []
    for value in reader.inputs:
        inputs.extend(node.inputs if value is output else [value])
    reader.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        reader.replace_input_with(index, value)
    assert node.graph is not None
    node.graph.remove(node, safe=True)


def _parts(node: ir.Node, axis: int) -> _Parts | None:
    """Return the indices that a Concat puts together, where all are of one tensor."""
    parts = [part_of(value) for value in node.inputs]
    sources = {part.source for part in parts if part is not None}
    if len(sources) != 1:
        return None
    (source,) = sources
    shape = source.shape
    if shape is None or is_constant(source) or not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    indices: list[int] = []
    for value, part in zip(node.inputs, parts, strict=True):
        single = None if part is None else part.single()
        size = shape[axis]
        if value is source and isinstance(size, int):
            indices.extend(range(size))
        elif single is None or single[0] != axis:
            return None
        else:
            indices.extend(single[1])
    return _Parts(source, axis, indices)


def _obstacle(node: ir.Node, parts: _Parts, editor: Editor) -> str:
    source, indices = parts.source, parts.indices
    assert source.shape is not None
    lone = [value for value in node.inputs if value is not source and _is_lone(value)]
    if not lone:
        return "all its parts have other readers"
    if not indices or len(indices) > _MOST_INDICES:
        return f"it puts {len(indices)} indices together"
    if _run(indices) is None and parts.axis == len(source.shape) - 1:
        return "a Gather along the last axis copies numbers one by one"
    return editor.blocker(node.outputs[0], source) if parts.is_whole() else ""


def _take(node: ir.Node, parts: _Parts, place: Place) -> None:
    """Take the parts by one node, and drop what took them one by one."""
    output, read, source = node.outputs[0], list(node.inputs), parts.source
    run = _run(parts.indices)
    if parts.is_whole():
        place.editor.redirect(output, source)
        place.editor.remove(node)
    elif run is None:
        new = _node(node, "Gather", source, {"indices": parts.indices}, place)
        new.attributes["axis"] = ir.AttrInt64("axis", parts.axis)
        place.editor.replace_node(node, new)
    else:
        bounds = {"start": [run.start], "end": [run.stop], "axis": [parts.axis]}
        place.editor.replace_node(node, _node(node, "Slice", source, bounds, place))
    place.editor.finish()
    for producer in dict.fromkeys(_producer(value) for value in read if value is not source):
        if producer is None or producer.graph is None or not _is_unread(producer):
            continue
        inputs = list(producer.inputs)
        producer.graph.remove(producer, safe=True)
        for item in inputs:
            drop_unread(item)


def _node(
    old: ir.Node, op_type: str, source: ir.Value, constants: dict[str, list[int]], place: Place
) -> ir.Node:
    values = [
        place.constant(old, f"{old.outputs[0].name}_{name}", items)
        for name, items in constants.items()
    ]
    new = ir.Node("", op_type, [source, *values], name=old.name)
    new.metadata_props.update(old.metadata_props)
    return new


def _reading_concat(node: ir.Node, axis: int) -> ir.Node | None:
    """Return the Concat along the same axis that alone reads a Concat."""
    output = node.outputs[0]
    if output.is_graph_output() or len(output.uses()) != 1:
        return None
    reader, _ = next(iter(output.uses()))
    if reader.op_type != "Concat" or reader.domain != "" or reader.graph is not node.graph:
        return None
    other = reader.attributes.get("axis")
    if other is None or other.is_ref():
        return None
    if other.as_int() == axis:
        return reader
    rank = None if output.shape is None else len(output.shape)
    return reader if rank is not None and other.as_int() % rank == axis % rank else None


def _producer(value: ir.Value | None) -> ir.Node | None:
    return None if value is None else value.producer()


def _is_lone(value: ir.Value | None) -> bool:
    node = _producer(value)
    if node is None:
        return False
    return all(len(item.uses()) <= 1 and not item.is_graph_output() for item in node.outputs)


def _is_unread(node: ir.Node) -> bool:
    return not any(value.uses() or value.is_graph_output() for value in node.outputs)


def _run(indices: list[int]) -> range | None:
    """Return indices that count up by one as a range."""
    run = range(indices[0], indices[0] + len(indices))
    return run if indices == list(run) else None
