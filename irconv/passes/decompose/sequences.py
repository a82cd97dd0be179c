"""Sequences and optionals whose contents are known, as the tensors in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site
from irconv.passes.sites import Sites

__all__ = ["DecomposeSequences"]

_OLDEST_OPSET = 18


@dataclass(frozen=True)
class DecomposeSequences(Pass):
    """Replace what reads a sequence or an optional by what reads the tensors in it.

    A sequence is followed from SequenceConstruct, SequenceEmpty or SplitToSequence through
    insertions and erasures at constant positions. Those that are inputs or outputs of the model,
    or pass through a Loop or an If, stay.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x, float[2, 3] z) => (float[2, 3] y, int64 n) {
            s = SequenceConstruct(x, z)
            e = Neg(x)
            t = SequenceInsert(s, e)
            i = Constant <value = int64 {-1}> ()
            y = SequenceAt(t, i)
            n = SequenceLength(t)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x, float[2, 3] z) => (float[2, 3] y, int64 n) {
            e = Neg(x)
            y = Identity(e)
            n = Constant <value = int64 {3}> ()
        }
    """

    name: ClassVar[str] = "decompose-sequences"
    after: ClassVar[tuple[str, ...]] = ("convert-opset", "infer-shapes")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Follow sequences in one walk; linear in nodes and in the lengths of sequences."""
        tracker = _Tracker(NameAllocator(model), Sites(context))
        for scope in scopes(model):
            version = scope.opsets.get("", 1)
            if version >= _OLDEST_OPSET:
                for node in list(scope.nodes()):
                    if node.domain == "":
                        tracker.visit(node, version)
        tracker.clean()
        made = tracker.sites.made
        return PassResult(bool(made), {"replaced": len(made)}, tuple(tracker.refusals), made)


@dataclass
class _Tracker:
    """What is known of the sequences and optionals of a model.

    Attributes:
        names: Gives fresh names for new values.
        sites: The account of the run.
        items: The tensors in each known sequence.
        inside: The value in each known optional; None for an empty one.
        makers: Nodes that make sequences, and nodes made for their items, in order.
    """

    names: NameAllocator
    sites: Sites
    items: dict[ir.Value, list[ir.Value]] = field(default_factory=dict)
    inside: dict[ir.Value, ir.Value | None] = field(default_factory=dict)
    makers: list[ir.Node] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def visit(self, node: ir.Node, version: int) -> None:
        """Follow or replace one node."""
        op_type, name = node.op_type, node.name or ""
        site = Site(node, self.names, version)
        try:
            if op_type in _MAKERS:
                used = any(value.uses() for value in node.outputs)
                _MAKERS[op_type](self, site)
                if used and node.graph is not None:
                    node.graph.insert_before(node, site.nodes)
                    self.makers += [*site.nodes, node]
            elif op_type in _READERS:
                result = _READERS[op_type](self, site)
                if self.sites.permit(node):
                    site.replace([result])
                else:
                    site.discard()
        except Keep as reason:
            self.refusals.append(Refusal(name, op_type, str(reason)))

    def known(self, site: Site, index: int = 0) -> list[ir.Value]:
        """Return the tensors in a sequence; keeps the node where they are not known."""
        value = site.input(index)
        if value in self.inside:
            value = self.inside[value] or value
        if value not in self.items:
            raise Keep(f"the tensors in the sequence {value.name!r} are not known")
        return self.items[value]

    def clean(self) -> None:
        """Remove what makes sequences that nothing reads any more."""
        for node in reversed(self.makers):
            unread = not any(v.uses() or v.is_graph_output() for v in node.outputs)
            if unread and isinstance(node.graph, ir.Graph):
                node.graph.remove(node, safe=True)


def _position(site: Site, index: int, count: int, default: int | None) -> int:
    value = site.maybe(index)
    if value is None and default is not None:
        return default
    position = constant_ints(value)
    if position is None:
        raise Keep("its position is computed, not constant")
    return position[0] + count if position[0] < 0 else position[0]


def _construct(tracker: _Tracker, site: Site) -> None:
    values = [site.input(index) for index in range(len(site.node.inputs))]
    tracker.items[site.node.outputs[0]] = values


def _insert(tracker: _Tracker, site: Site) -> None:
    found = list(tracker.known(site))
    found.insert(_position(site, 2, len(found), len(found)), site.input(1))
    tracker.items[site.node.outputs[0]] = found


def _erase(tracker: _Tracker, site: Site) -> None:
    found = list(tracker.known(site))
    del found[_position(site, 1, len(found), len(found) - 1)]
    tracker.items[site.node.outputs[0]] = found


def _split(tracker: _Tracker, site: Site) -> None:
    """ONNX SplitToSequence (since 11): single slices without a split, else chunks or sizes."""
    data, axis = site.input(0), site.axis(default=0)
    size = site.dims(data)[axis]
    if size is None:
        raise Keep("it splits along a dynamic dim")
    squeezes = site.maybe(1) is None and not site.attribute("keepdims", 1)
    if site.maybe(1) is None:
        sizes = [1] * size
    else:
        given = list(site.constant_ints(1, "split sizes"))
        scalar = site.rank(site.input(1)) == 0
        sizes = _chunks(size, given[0]) if scalar else given
    parts: Sequence[ir.Value] = [data]
    if len(sizes) > 1:
        parts = site.ops("Split", data, sizes, outputs=len(sizes), axis=axis)
    found = [site.op("Squeeze", part, [axis]) if squeezes else part for part in parts]
    tracker.items[site.node.outputs[0]] = found


def _chunks(size: int, chunk: int) -> list[int]:
    return [min(chunk, size - start) for start in range(0, size, chunk)]


def _optional(tracker: _Tracker, site: Site) -> None:
    tracker.inside[site.node.outputs[0]] = site.maybe(0)


def _at(tracker: _Tracker, site: Site) -> ir.Value:
    found = tracker.known(site)
    position = _position(site, 1, len(found), None)
    if not 0 <= position < len(found):
        raise Keep(f"its position {position} is outside of {len(found)} tensors")
    return found[position]


def _length(tracker: _Tracker, site: Site) -> ir.Value:
    return site.scalar(len(tracker.known(site)), ir.DataType.INT64)


def _concat(tracker: _Tracker, site: Site) -> ir.Value:
    """ONNX ConcatFromSequence (since 11), along an axis that is there or a new one."""
    found = tracker.known(site)
    if not found:
        raise Keep("its sequence is empty")
    axis = site.attribute("axis", 0)
    if site.attribute("new_axis", 0):
        found = [site.op("Unsqueeze", value, [axis]) for value in found]
    return site.op("Concat", *found, axis=axis)


def _has(tracker: _Tracker, site: Site) -> ir.Value:
    """ONNX OptionalHasElement (since 15, as of 18): true of anything but an optional."""
    value = site.maybe(0)
    if value is not None and value not in tracker.inside:
        if value.type is None or isinstance(value.type, ir.OptionalType):
            raise Keep(f"what is in the optional {value.name!r} is not known")
        return site.constant(np.asarray(True))
    there = value is not None and tracker.inside[value] is not None
    return site.constant(np.asarray(there))


def _get(tracker: _Tracker, site: Site) -> ir.Value:
    value = site.input(0)
    inner = tracker.inside.get(value, value)
    if inner is None or inner.type is None or not isinstance(inner.type, ir.TensorType):
        raise Keep(f"there is no known tensor in {value.name!r}")
    return inner


_MAKERS: Mapping[str, Callable[[_Tracker, Site], None]] = {
    "Optional": _optional,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _construct,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SplitToSequence": _split,
}
_READERS: Mapping[str, Callable[[_Tracker, Site], ir.Value]] = {
    "ConcatFromSequence": _concat,
    "OptionalGetElement": _get,
    "OptionalHasElement": _has,
    "SequenceAt": _at,
    "SequenceLength": _length,
}
