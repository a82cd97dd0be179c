"""Transposes of high rank between reshapes, with fewer dimensions.

Dimensions that stay neighbors, in order, under a permutation may be one: with ``perm`` [0, 1, 3,
2, 4, 5] the dimensions 0 and 1, and 4 and 5, move as pairs, so a tensor of rank 4 moves the same
way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.graph.names import NameAllocator

__all__ = ["MergeDimensions"]

_Sizes = list[int | None]


@dataclass(frozen=True)
class MergeDimensions(Pass):
    """Merge dimensions of a Reshape, Transpose, Reshape whose rank is above ``rank``.

    Windows of an image are cut out by such a triple of rank 6.

    Attributes:
        rank: The highest rank that may stay.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 4, 6, 2] x) => (float[4, 6, 2] y)
        <int64[6] cut = {1, 2, 2, 2, 3, 2}, int64[3] joined = {4, 6, 2},
         float[1, 2, 2, 2, 3, 2] a, float[1, 2, 2, 2, 3, 2] b> {
            a = Reshape(x, cut)
            b = Transpose <perm = [0, 1, 3, 2, 4, 5]> (a)
            y = Reshape(b, joined)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 4, 6, 2] x) => (float[4, 6, 2] y)
        <int64[6] cut = {1, 2, 2, 2, 3, 2}, int64[3] joined = {4, 6, 2},
         float[2, 2, 2, 6] a, float[2, 2, 2, 6] b, int64[4] a_sizes, int64[3] y_sizes> {
            a_sizes = Constant <value_ints = [2, 2, 2, 6]> ()
            a = Reshape(x, a_sizes)
            b = Transpose <perm = [0, 2, 1, 3]> (a)
            y_sizes = Constant <value_ints = [4, 6, 2]> ()
            y = Reshape(b, y_sizes)
        }
    """

    name: ClassVar[str] = "merge-dimensions"
    effect: ClassVar[Effect] = "bit-exact"

    rank: int = 5

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge where it can be done; linear in nodes."""
        from irconv.graph.names import NameAllocator
        from irconv.graph.walk import all_nodes

        del context
        names = NameAllocator(model)
        merged = 0
        refusals = []
        for node in list(all_nodes(model)):
            if node.op_type != "Transpose" or node.domain != "":
                continue
            shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
            if shape is None or shape.rank() <= self.rank:
                continue
            reason = self._merge(node, names)
            if reason:
                refusals.append(Refusal(node.name or "", node.op_type, reason))
            else:
                merged += 1
        return PassResult(merged > 0, {"merged": merged}, tuple(refusals))

    def _merge(self, transpose: ir.Node, names: NameAllocator) -> str:
        """Merge around one Transpose, or return why not."""
        import onnx_ir as ir

        before, after = _producer(transpose), _only_reader(transpose)
        if before is None or after is None:
            return "it does not stand alone between two Reshapes"
        cut, permuted = before.outputs[0], transpose.outputs[0]
        sizes = _sizes(cut)
        joined = _sizes(after.outputs[0])
        attribute = transpose.attributes.get("perm")
        perm = list(attribute.as_ints()) if attribute else list(range(len(sizes)))[::-1]
        groups = _neighbors(perm)
        starts = sorted(group[0] for group in groups)
        by_start = {group[0]: _product([sizes[axis] for axis in group]) for group in groups}
        narrow = [by_start[start] for start in starts]
        if len(narrow) > self.rank:
            return f"only {len(sizes) - len(narrow)} of its {len(sizes)} dimensions can be merged"
        if not (_is_known(narrow) and _is_known(joined)):
            return "more than one size is known at run time only"
        order = [starts.index(group[0]) for group in groups]
        _set_shape(before, narrow, names)
        _set_shape(after, joined, names)
        transpose.attributes["perm"] = ir.AttrInt64s("perm", order)
        cut.shape = ir.Shape(narrow)
        permuted.shape = ir.Shape([narrow[axis] for axis in order])
        return ""


def _producer(transpose: ir.Node) -> ir.Node | None:
    value = transpose.inputs[0]
    node = value.producer() if value is not None else None
    if node is None or value is None or node.op_type != "Reshape" or node.domain != "":
        return None
    return None if value.is_graph_output() or len(value.uses()) != 1 else node


def _only_reader(transpose: ir.Node) -> ir.Node | None:
    value = transpose.outputs[0]
    readers = list(value.uses())
    if value.is_graph_output() or len(readers) != 1:
        return None
    node = readers[0].node
    plain = node.op_type == "Reshape" and node.domain == "" and node.inputs[0] is value
    return node if plain and node.graph is transpose.graph else None


def _sizes(value: ir.Value) -> _Sizes:
    if value.shape is None:
        return [None, None]
    return [size if isinstance(size, int) else None for size in value.shape]


def _product(sizes: _Sizes) -> int | None:
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def _is_known(sizes: _Sizes) -> bool:
    """Say whether ``Reshape`` can be told these sizes: one may be left to it, and none is 0."""
    return sizes.count(None) <= 1 and 0 not in sizes


def _neighbors(perm: list[int]) -> list[list[int]]:
    """Return the dimensions in the order of ``perm``, those that stay neighbors together."""
    groups = [[perm[0]]]
    for axis in perm[1:]:
        if axis == groups[-1][-1] + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _set_shape(reshape: ir.Node, sizes: _Sizes, names: NameAllocator) -> None:
    import onnx_ir as ir

    stated = [-1 if size is None else size for size in sizes]
    constant = ir.node("Constant", [], {"value_ints": stated})
    value = constant.outputs[0]
    value.name = names.fresh(f"{reshape.outputs[0].name}_sizes")
    value.dtype = ir.DataType.INT64
    value.shape = ir.Shape([len(stated)])
    graph = reshape.graph
    assert graph is not None
    graph.insert_before(reshape, constant)
    reshape.replace_input_with(1, value)
