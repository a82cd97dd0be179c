"""Merging of slices: a slice of a slice is one, and slices that tile an axis are a Split.

Indices compose, so x[a][b] = x[a[b]] for ranges a and b of one axis, and slices of different axes
commute. A part of a Concat that begins and ends where an operand does is that operand (ONNX
operator specifications of Concat, Slice and Split).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.concat_form import is_joined_along, operand_at
from irconv.graph.constants import is_constant
from irconv.graph.scopes import scopes
from irconv.graph.slice_form import part_of
from irconv.graph.unread import drop_unread
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.edits import Edits
from irconv.passes.rewrite import Place
from irconv.passes.sites import Sites

__all__ = ["MergeSlices"]

_OLDEST_OPSET = 13


@dataclass(frozen=True)
class MergeSlices(Pass):
    """Make one Slice of a slice of a slice, and one Split of slices that tile an axis.

    A Slice or Split that takes apart what a Concat put together vanishes. Bounds are constant and
    sizes of the sliced axes known.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 4] x) => (float[N, 2, 4] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4},
         float[N, 2, 4] a, float[N, 2, 4] b> {
            a = Slice(x, zero, two, one)
            b = Slice(x, two, four, one)
            y = Mul(b, a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 4, 4] x) => (float[N, 2, 4] y)
        <int64[2] x_sizes = {2, 2}, float[N, 2, 4] a, float[N, 2, 4] b> {
            a, b = Split <axis = 1> (x, x_sizes)
            y = Mul(b, a)
        }
    """

    name: ClassVar[str] = "merge-slices"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "merge-concats")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in one sweep; linear in nodes."""
        merger = _Merger(model, Sites(context))
        for scope in scopes(model):
            if scope.opsets.get("", 1) >= _OLDEST_OPSET:
                place = Place(scope, merger.edits)
                for graph in scope.graphs():
                    merger.chains(graph, place)
                    merger.tiles(graph, place)
        made = merger.sites.made
        return PassResult(bool(made), {"merged": len(made)}, tuple(merger.refusals), made)


class _Merger:
    def __init__(self, model: ir.Model, sites: Sites) -> None:
        self.edits = Edits(model)
        self.sites = sites
        self.refusals: list[Refusal] = []

    def chains(self, graph: ir.Graph, place: Place) -> None:
        """Merge slices of slices, and slices and splits of what is put together."""
        for node in tuple(graph):
            if node.domain != "" or node.op_type not in ("Slice", "Split"):
                continue
            if self._take_apart(node):
                continue
            if node.op_type == "Slice" and self._chain(node, place):
                self._take_apart(node)
        self.edits.finish()

    def _refuse(self, node: ir.Node, reason: str) -> None:
        self.refusals.append(Refusal(node.name or "", node.op_type, reason))

    def _take_apart(self, node: ir.Node) -> bool:
        """Let readers of parts of a Concat read its operands; return whether they do."""
        parts = [part_of(value) for value in node.outputs]
        single = None if parts[0] is None else parts[0].single()
        source = None if parts[0] is None else parts[0].source
        if single is None or source is None or not is_joined_along(source, single[0]):
            return False
        pairs: list[tuple[ir.Value, ir.Value]] = []
        reason = ""
        for value, part in zip(node.outputs, parts, strict=True):
            cut = None if part is None else part.single()
            operand = None if cut is None else operand_at(source, *cut)
            if operand is None:
                reason = f"{value.name!r} is no operand of the Concat {source.name!r}"
            elif any(operand is other for _, other in pairs) and value.is_graph_output():
                reason = f"{operand.name!r} is put in twice, and {value.name!r} is a graph output"
            else:
                reason = self.edits.editor.blocker(value, operand)
            if operand is None or reason:
                break
            pairs.append((value, operand))
        if reason:
            self._refuse(node, reason)
            return False
        if not self.sites.permit(node):
            return False
        for value, operand in pairs:
            self.edits.editor.redirect(value, operand)
        self.edits.editor.remove(node)
        return True

    def _chain(self, node: ir.Node, place: Place) -> bool:
        """Make a slice of a slice one; return whether it is done."""
        outer = part_of(node.outputs[0])
        between = None if outer is None else outer.source
        before = None if between is None else between.producer()
        inner = None if before is None or before.op_type != "Slice" else part_of(between)
        if outer is None or between is None or before is None or inner is None:
            return False
        if is_constant(inner.source) or before.graph is not node.graph:
            return False
        if between.is_graph_output() or len(between.uses()) != 1:
            self._refuse(node, f"{between.name!r} has other readers")
            return False
        ranges = dict(inner.ranges)
        for axis, taken in outer.ranges.items():
            cut = slice(taken.start, _stop(taken), taken.step)
            ranges[axis] = ranges[axis][cut] if axis in ranges else taken
        if not all(map(len, ranges.values())) or not self.sites.permit(node):
            return False
        _slice(node, before, inner.source, ranges, place)
        return True

    def tiles(self, graph: ir.Graph, place: Place) -> None:
        """Merge slices that tile an axis of one value."""
        groups: dict[tuple[ir.Value, int], dict[range, list[ir.Node]]] = {}
        for node in graph:
            if node.op_type != "Slice" or node.domain != "":
                continue
            part = part_of(node.outputs[0])
            single = None if part is None else part.single()
            if part is None or single is None or is_constant(part.source):
                continue
            axis, taken = single
            if taken.step == 1 and len(taken):
                group = groups.setdefault((part.source, axis), {})
                group.setdefault(taken, []).append(node)
        for (source, axis), parts in groups.items():
            first = next(iter(parts.values()))[0]
            ordered = sorted(parts, key=lambda taken: taken.start)
            if len(ordered) < 2:
                continue
            nodes = [node for taken in ordered for node in parts[taken]]
            reason = _obstacle(source, axis, ordered, nodes)
            if reason:
                self._refuse(first, reason)
            elif self.sites.permit(first):
                _split(first, axis, nodes, ordered, place)


def _slice(
    node: ir.Node, before: ir.Node, source: ir.Value, ranges: dict[int, range], place: Place
) -> None:
    """Let a Slice take what it and the one before it take."""
    axes = sorted(ranges)
    lists = {
        "starts": [ranges[axis].start for axis in axes],
        "ends": [_end(ranges[axis]) for axis in axes],
        "axes": axes,
        "steps": [ranges[axis].step for axis in axes],
    }
    if set(lists["steps"]) == {1}:
        del lists["steps"]
    output, read = node.outputs[0], [*node.inputs[1:], *before.inputs[1:]]
    bounds = [place.constant(node, f"{output.name}_{name}", items) for name, items in lists.items()]
    for index, value in enumerate((source, *bounds)):
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, value)
    node.resize_inputs(1 + len(bounds))
    place.editor.remove(before)
    place.editor.finish()
    for item in dict.fromkeys(read):
        drop_unread(item)


def _obstacle(
    source: ir.Value, axis: int, ordered: Sequence[range], nodes: Sequence[ir.Node]
) -> str:
    assert source.shape is not None
    ends = [0, *(taken.stop for taken in ordered)]
    starts = [*(taken.start for taken in ordered), source.shape[axis]]
    if starts != ends:
        return f"the slices of {source.name!r} do not tile its axis {axis}"
    if len(nodes) != len(ordered):
        return f"two slices of {source.name!r} are equal"
    if any(node.outputs[0].is_graph_output() for node in nodes):
        return "one of the slices is a graph output"
    return ""


def _split(
    first: ir.Node,
    axis: int,
    nodes: Sequence[ir.Node],
    ordered: Sequence[range],
    place: Place,
) -> None:
    """Put one Split in front of the first of the slices, and let it stand for all of them.

    What they read may be an output of a Split that was made just before.
    """
    source = first.inputs[0]
    assert source is not None
    sizes = place.constant(first, f"{source.name}_sizes", [len(taken) for taken in ordered])
    split = ir.Node(
        "",
        "Split",
        [source, sizes],
        [ir.AttrInt64("axis", axis)],
        num_outputs=len(nodes),
        name=first.name,
    )
    split.metadata_props.update(first.metadata_props)
    assert first.graph is not None
    first.graph.insert_before(first, split)
    read = [value for node in nodes for value in node.inputs[1:]]
    for node, result in zip(nodes, split.outputs, strict=True):
        output = node.outputs[0]
        result.type, result.shape = output.type, output.shape
        place.editor.replace(output, result)
        place.editor.remove(node)
    place.editor.finish()
    for item in dict.fromkeys(read):
        drop_unread(item)


def _stop(taken: range) -> int | None:
    return None if taken.stop < 0 else taken.stop


def _end(taken: range) -> int:
    """Return an end as Slice reads it: one before the first index is a very low number."""
    return taken.stop if taken.stop >= 0 else int(np.iinfo(np.int64).min)
