"""Folding shape computations whose sizes only the run knows.

Sizes are followed through the model as expressions in the sizes of its inputs (see
:mod:`irconv.graph.symbolic`). Where the items of a shape are expressions e_1, …, e_n:

- a tensor of numbers alone is a constant;
- two tensors of equal expressions are one, and the later reads the earlier;
- Reshape of dims d to items e needs no shape that is computed: 0 copies d_i where e_i = d_i, and
  one item that is neither a number nor copied is -1, which ONNX infers from the others;
- Reshape, Expand, Slice and Tile to the dims that their input has already do nothing;
- a vector of sizes that inputs have, and of numbers, is Shape of an input or one Concat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, is_constant
from irconv.graph.scopes import scopes
from irconv.graph.unread import drop_unread
from irconv.graph.walk import nested_graphs
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.edits import Edits
from irconv.passes.rewrite import Place
from irconv.passes.sites import Sites

if TYPE_CHECKING:
    from irconv.graph.symbolic.dims import Dims, Items
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["FoldShapes"]

_OLDEST_OPSET = 13
_KEEPS_DIMS = frozenset({"Expand", "Reshape", "Slice", "Tile"})
_SHAPE_TAKES_PART = 15
_PLAIN_SHAPES = frozenset({"Concat", "Shape"})
_INTEGERS = frozenset({ir.DataType.INT32, ir.DataType.INT64})


@dataclass(frozen=True)
class FoldShapes(Pass):
    """Fold what a model computes of dynamic sizes, and share what is left of it.

    Before::

        <ir_version: 10, opset_import: ["" : 14]>
        example (float[N, S, 8] x) => (float[N, S, 2, 4] y)
        <int64 zero = {0}, int64 one = {1}, int64[1] axis = {0}, int64[2] heads = {2, -1},
         int64[3] whole, int64 batch, int64 length, int64[1] first, int64[1] second,
         int64[4] target> {
            whole = Shape(x)
            batch = Gather(whole, zero)
            length = Gather(whole, one)
            first = Unsqueeze(batch, axis)
            second = Unsqueeze(length, axis)
            target = Concat <axis = 0> (first, second, heads)
            y = Reshape(x, target)
        }

    After::

        <ir_version: 10, opset_import: ["" : 14]>
        example (float[N, S, 8] x) => (float[N, S, 2, 4] y)
        <int64 zero = {0}, int64 one = {1}, int64[1] axis = {0}, int64[2] heads = {2, -1},
         int64[4] y_shape = {0, 0, 2, 4}, int64[3] whole, int64 batch, int64 length,
         int64[1] first, int64[1] second, int64[4] target> {
            whole = Shape(x)
            batch = Gather(whole, zero)
            length = Gather(whole, one)
            first = Unsqueeze(batch, axis)
            second = Unsqueeze(length, axis)
            target = Concat <axis = 0> (first, second, heads)
            y = Reshape(x, y_shape)
        }

    It needs the dtypes that infer-shapes finds. What nothing reads any more goes with
    eliminate-dead-code.
    """

    name: ClassVar[str] = "fold-shapes"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "eliminate-identity")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold the main graph and the bodies inside it; linear in nodes.

        Where a size follows from a target that was settled, another sweep makes use of it.
        """
        from irconv.graph.symbolic.sizes import Sizes

        if model.graph.opset_imports.get("", 0) < _OLDEST_OPSET:
            return PassResult(False, {"needs-opset": _OLDEST_OPSET})
        sites, counts = Sites(context), Counter[str]()
        while True:
            edits = Edits(model)
            place = Place(next(scopes(model)), edits)
            folder = _Folder(place, Sizes(model), sites, counts)
            for graph in (model.graph, *nested_graphs(model.graph)):
                folder.fold(graph)
            edits.finish()
            if not folder.learned:
                break
        details = dict(sorted(counts.items()))
        return PassResult(bool(counts), details, tuple(folder.refusals), sites.made)


class _Folder:
    """The edits of one sweep.

    Attributes:
        learned: Whether a size that was not known before follows from what was settled.
    """

    def __init__(self, place: Place, sizes: Sizes, sites: Sites, counts: Counter[str]) -> None:
        self.place = place
        self.sizes = sizes
        self.sites = sites
        self.main = place.scope.graph
        self.counts = counts
        self.learned = False
        self.refusals: list[Refusal] = []

    def fold(self, graph: ir.Graph) -> None:
        """Fold one graph, without its bodies, in order."""
        seen: dict[tuple[ir.DataType, Items], ir.Value] = {}
        for node in tuple(graph):
            if node.domain != "" or not node.inputs:
                continue
            if node.op_type in _KEEPS_DIMS and self._bypass(node):
                continue
            if node.op_type == "Reshape":
                self._settle_target(node)
            if not is_constant(node.outputs[0]) and not self._share(node, seen):
                self._rebuild(node, seen)

    def _share(self, node: ir.Node, seen: dict[tuple[ir.DataType, Items], ir.Value]) -> bool:
        """Let the readers of a known tensor read a constant, or an earlier one that equals it."""
        value = node.outputs[0]
        items = self.sizes.items(value)
        if items is None or not items.complete or value.dtype not in _INTEGERS:
            return False
        assert value.dtype is not None
        if not value.uses():
            return False
        if all(isinstance(item, int) for item in items.values):
            if value.is_graph_output() or not self.sites.permit(node):
                return False
            array = np.array(items.values, value.dtype.numpy())
            constant = array.reshape(() if items.is_scalar else (-1,))
            new = self.place.constant(node, f"{value.name}_items", constant)
            self.place.editor.redirect(value, new)
            self.counts["constants"] += 1
            return True
        earlier = seen.setdefault((value.dtype, items), value)
        if earlier is value or value.is_graph_output():
            return False
        if self.place.editor.blocker(value, earlier) or not self.sites.permit(node):
            return False
        self.place.editor.redirect(value, earlier)
        self.counts["shared"] += 1
        return True

    def _rebuild(self, node: ir.Node, seen: dict[tuple[ir.DataType, Items], ir.Value]) -> None:
        """Compute a vector of sizes by one Shape of an input, or by one Concat."""
        value = node.outputs[0]
        items = self.sizes.items(value)
        if items is None or value.dtype != ir.DataType.INT64 or not value.uses():
            return
        if items.is_scalar or value.is_graph_output() or node.graph is not self.main:
            return
        dims = self._dims_of_input(node, items)
        parts = self._parts(node, items, seen) if dims is None else None
        if (dims is None and parts is None) or not self.sites.permit(node):
            return
        if dims is not None:
            source, start, end = dims
            bounds = [ir.AttrInt64("start", start), ir.AttrInt64("end", end)]
            new = ir.Node("", "Shape", [source], bounds)
        else:
            new = self._concat(node, parts or [])
        result = new.outputs[0]
        result.name = new.name = self.place.names.fresh(f"{value.name}_rebuilt")
        result.type, result.shape = value.type, value.shape
        new.metadata_props.update(node.metadata_props)
        self.main.insert_before(node, new)
        self.place.editor.redirect(value, result)
        seen[ir.DataType.INT64, items] = result
        self.sizes.put_in_place(value, result)
        self.counts["rebuilt"] += 1

    def _dims_of_input(self, node: ir.Node, items: Items) -> tuple[ir.Value, int, int] | None:
        """Return an input that has these dims, from one axis up to another."""
        if self.place.opset < _SHAPE_TAKES_PART or node.op_type == "Shape":
            return None
        for source in self.main.inputs:
            dims = self.sizes.dims(source)
            if dims is None or items.values[0] not in dims:
                continue
            start = dims.index(items.values[0])
            end = start + len(items.values)
            if dims[start:end] == items.values:
                return source, start, end
        return None

    @staticmethod
    def _parts(
        node: ir.Node, items: Items, seen: dict[tuple[ir.DataType, Items], ir.Value]
    ) -> list[ir.Value | np.ndarray] | None:
        """Return numbers, and earlier vectors that hold the sizes, which make up a vector."""
        from irconv.graph.symbolic.dims import Items

        if node.op_type in _PLAIN_SHAPES:
            return None
        parts: list[ir.Value | np.ndarray] = []
        for is_number, run in groupby(items.values, lambda item: isinstance(item, int)):
            if is_number:
                parts.append(np.array(list(run), np.int64))
                continue
            vectors = [seen.get((ir.DataType.INT64, Items((item,)))) for item in run]
            found = [vector for vector in vectors if vector is not None]
            if len(found) < len(vectors):
                return None
            parts.extend(found)
        if len(parts) < 2 or not any(isinstance(part, ir.Value) for part in parts):
            return None
        return parts

    def _concat(self, node: ir.Node, parts: Sequence[ir.Value | np.ndarray]) -> ir.Node:
        name = f"{node.outputs[0].name}_numbers"
        inputs = [
            part if isinstance(part, ir.Value) else self.place.constant(node, name, part)
            for part in parts
        ]
        return ir.Node("", "Concat", inputs, [ir.AttrInt64("axis", 0)])

    def _bypass(self, node: ir.Node) -> bool:
        """Remove a node that gives its input; return whether it did."""
        source, value = node.inputs[0], node.outputs[0]
        before, after = self.sizes.dims(source), self.sizes.dims(value)
        if source is None or before is None or before != after or not _takes_whole(node):
            return False
        reason = self.place.editor.blocker(value, source)
        if reason:
            self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            return False
        if not self.sites.permit(node):
            return False
        self.place.editor.redirect(value, source)
        self.place.editor.remove(node)
        self.counts["no-ops"] += 1
        return True

    def _settle_target(self, node: ir.Node) -> None:
        """Give a Reshape a constant target."""
        old = node.inputs[1] if len(node.inputs) > 1 else None
        if old is None or is_constant(old):
            return
        target = self.sizes.items(old)
        dims = self.sizes.dims(node.inputs[0])
        if target is None or dims is None:
            return
        known = self.sizes.dims(node.outputs[0])
        found = _constant_target(dims, target, known, node.attributes.get_int("allowzero", 0) == 1)
        if isinstance(found, str):
            self.refusals.append(Refusal(node.name or "", node.op_type, found))
            return
        if not self.sites.permit(node):
            return
        name = f"{node.outputs[0].name}_shape"
        node.replace_input_with(1, self.place.constant(node, name, found))
        node.attributes.pop("allowzero", None)
        drop_unread(old)
        self.counts["targets"] += 1
        self.learned |= any(
            new == -1 != item for new, item in zip(found, target.values, strict=True)
        )


def _takes_whole(node: ir.Node) -> bool:
    """Whether a node that keeps the dims keeps the elements too, each in its place."""
    if node.op_type != "Slice":
        return True
    if len(node.inputs) < 5 or node.inputs[4] is None:
        return True
    steps = constant_ints(node.inputs[4])
    return steps is not None and set(steps) <= {1}


def _constant_target(
    dims: Dims, target: Items, known: Dims | None, allow_zero: bool
) -> list[int] | str:
    """Return the target of a Reshape as numbers, or why there is none.

    Args:
        dims: Dims of the input.
        target: What is known of the target's items.
        known: Dims of the result, which tell what a -1 of the target stands for.
        allow_zero: Whether a 0 in the target is a true 0.
    """
    numbers: list[int] = []
    for axis, item in enumerate(target.values):
        size = None if known is None else known[axis]
        if item == -1 and isinstance(size, int) and size > 0:
            numbers.append(size)
            continue
        if isinstance(item, int):
            if item == 0 and allow_zero:
                return "an item of its target is a true 0"
            numbers.append(item)
        elif item is not None and axis < len(dims) and dims[axis] == item:
            numbers.append(0)
        else:
            numbers.append(-1)
    if numbers.count(-1) > 1:
        return "more than one size of its target is neither a number nor a dimension of its input"
    return numbers
