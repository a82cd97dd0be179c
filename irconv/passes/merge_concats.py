"""Merging of concatenations: of concatenations, and of parts of one tensor.

Putting tensors side by side is associative. Parts of one tensor side by side are its elements at
a list of indices, so they are a part of it again where the indices run on, and else a Gather
(ONNX operator specifications of Concat, Slice, Split and Gather).
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
from irconv.graph.scopes import Scope, scopes
from irconv.graph.slice_form import part_of
from irconv.graph.unread import drop_unread
from irconv.passes.base import Pass, PassContext, PassResult, Refusal

__all__ = ["MergeConcats"]

_OLDEST_OPSET = 11
_MOST_INDICES = 1 << 14


@dataclass(frozen=True)
class MergeConcats(Pass):
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

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in one sweep; linear in nodes and edges."""
        del context
        merger = _Merger(model)
        for scope in scopes(model):
            if scope.opsets.get("", 1) >= _OLDEST_OPSET:
                for graph in scope.graphs():
                    merger.merge(graph, scope)
        return PassResult(merger.count > 0, {"merged": merger.count}, tuple(merger.refusals))


class _Merger:
    def __init__(self, model: ir.Model) -> None:
        self.count = 0
        self.refusals: list[Refusal] = []
        self._editor = Editor(model)
        self._names = NameAllocator(model)

    def merge(self, graph: ir.Graph, scope: Scope) -> None:
        for node in tuple(graph):
            if node.op_type != "Concat" or node.domain != "" or len(node.inputs) < 2:
                continue
            axis = node.attributes.get("axis")
            if axis is None or axis.is_ref():
                continue
            reader = _reading_concat(node, axis.as_int())
            if reader is not None:
                self._flatten(node, reader)
                self.count += 1
                continue
            reason = self._gather(node, axis.as_int(), scope)
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif reason is not None:
                self.count += 1

    @staticmethod
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

    def _gather(self, node: ir.Node, axis: int, scope: Scope) -> str | None:
        """Take the parts by one node; return "", why not, or None where they are no parts."""
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
        reason = self._obstacle(node, axis, source, indices)
        if not reason:
            self._replace(node, axis, source, indices, scope)
        return reason

    def _obstacle(self, node: ir.Node, axis: int, source: ir.Value, indices: list[int]) -> str:
        assert source.shape is not None
        lone = [value for value in node.inputs if value is not source and _is_lone(value)]
        if not lone:
            return "all its parts have other readers"
        if not indices or len(indices) > _MOST_INDICES:
            return f"it puts {len(indices)} indices together"
        if _run(indices) is None and axis == len(source.shape) - 1:
            return "a Gather along the last axis copies numbers one by one"
        if _is_whole(indices, source.shape[axis]):
            return self._editor.blocker(node.outputs[0], source)
        return ""

    def _replace(
        self, node: ir.Node, axis: int, source: ir.Value, indices: list[int], scope: Scope
    ) -> None:
        assert source.shape is not None
        output, read = node.outputs[0], list(node.inputs)
        if _is_whole(indices, source.shape[axis]):
            self._editor.redirect(output, source)
        else:
            run = _run(indices)
            if run is None:
                new = self._node(node, "Gather", source, {"indices": indices}, scope)
                new.attributes["axis"] = ir.AttrInt64("axis", axis)
            else:
                bounds = {"start": [run.start], "end": [run.stop], "axis": [axis]}
                new = self._node(node, "Slice", source, bounds, scope)
            result = new.outputs[0]
            result.name, result.type, result.shape = output.name, output.type, output.shape
            if not output.is_graph_output():
                output.name = None
            self._editor.redirect(output, result)
        self._editor.remove(node)
        self._editor.finish()
        for producer in dict.fromkeys(_producer(value) for value in read if value is not source):
            if producer is None or producer.graph is None or not _is_unread(producer):
                continue
            inputs = list(producer.inputs)
            producer.graph.remove(producer, safe=True)
            for item in inputs:
                drop_unread(item)

    def _node(
        self,
        old: ir.Node,
        op_type: str,
        source: ir.Value,
        constants: dict[str, list[int]],
        scope: Scope,
    ) -> ir.Node:
        values = [
            add_constant(
                old,
                self._names.fresh(f"{old.outputs[0].name}_{name}"),
                ir.Tensor(np.array(items, np.int64)),
                is_function=scope.is_function,
            )
            for name, items in constants.items()
        ]
        new = ir.Node("", op_type, [source, *values], name=old.name)
        new.metadata_props.update(old.metadata_props)
        assert old.graph is not None
        old.graph.insert_before(old, new)
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


def _is_whole(indices: list[int], size: int | ir.SymbolicDim) -> bool:
    return isinstance(size, int) and indices == list(range(size))


def _run(indices: list[int]) -> range | None:
    """Return indices that count up by one as a range."""
    run = range(indices[0], indices[0] + len(indices))
    return run if indices == list(run) else None
