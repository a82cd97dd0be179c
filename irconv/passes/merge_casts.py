"""Merging of casts: a cast that loses nothing is no step on the way to another dtype.

Where the first dtype's values are all values of the second, the second cast sees the very numbers
that the first one saw, so it gives the same from the source (ONNX operator specification of Cast).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.dtype_range import holds_all, is_integer
from irconv.graph.edit import Editor
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["MergeCasts"]


@dataclass(frozen=True)
class MergeCasts(NodeRewrite[ir.Node]):
    """Make one Cast of two where the first loses nothing, and none where both cancel.

    A cast of a constant is left to fold-constants.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float16[N] x) => (float16[N] y, double[N] z)
        <float16[N] c> {
            a = Cast <to = 1> (x)
            b = Cast <to = 10> (a)
            y = Neg(b)
            c = Exp(x)
            d = Cast <to = 1> (c)
            z = Cast <to = 11> (d)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float16[N] x) => (float16[N] y, double[N] z)
        <float16[N] c> {
            y = Neg(x)
            c = Exp(x)
            z = Cast <to = 11> (c)
        }
    """

    name: ClassVar[str] = "merge-casts"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "eliminate-no-op")

    op_types: ClassVar[frozenset[str]] = frozenset({"Cast"})

    def match(self, node: ir.Node, place: Place) -> ir.Node | str | None:
        """Return the Cast before a Cast; see :class:`NodeRewrite`."""
        before = _cast_before(node)
        source = None if before is None else before.inputs[0]
        if before is None or source is None:
            return None
        return _loss(before, node) or _obstacle(before, node, source, place.editor) or before

    def rewrite(self, node: ir.Node, match: ir.Node, place: Place) -> None:
        """Cast from where the first Cast of a chain does, or not at all."""
        found: ir.Node | str | None = match
        while isinstance(found, ir.Node):
            source = found.inputs[0]
            assert source is not None
            _merge(found, node, source, place.editor)
            found = self.match(node, place)


def _cast_before(node: ir.Node) -> ir.Node | None:
    """Return the Cast that a Cast reads; None where there is none, or it casts a constant."""
    if not _is_cast(node):
        return None
    before = None if node.inputs[0] is None else node.inputs[0].producer()
    if before is None or not _is_cast(before) or is_constant(before.inputs[0]):
        return None
    return before


def _is_cast(node: ir.Node) -> bool:
    goal = node.attributes.get("to")
    return (
        node.op_type == "Cast"
        and node.domain == ""
        and len(node.inputs) == 1
        and goal is not None
        and not goal.is_ref()
        and goal.type == ir.AttributeType.INT
    )


def _loss(before: ir.Node, node: ir.Node) -> str:
    """Return what makes the first cast more than a step; empty where nothing does."""
    value = before.inputs[0]
    assert value is not None
    source = _dtype(value)
    if source is None:
        return f"the dtype of {value.name!r} is not known"
    between, goal = _goal(before), _goal(node)
    if not holds_all(between, source):
        return f"{between.name.lower()} does not hold every value of {source.name.lower()}"
    if not holds_all(goal, goal):
        return f"casts to {goal.name.lower()} are not followed"
    from_float = between.is_floating_point()
    if from_float and is_integer(goal) and not holds_all(goal, source):
        return f"a float that {goal.name.lower()} cannot hold has no defined cast"
    return ""


def _goal(node: ir.Node) -> ir.DataType:
    return ir.DataType(node.attributes["to"].as_int())


def _dtype(value: ir.Value) -> ir.DataType | None:
    node = value.producer()
    return _goal(node) if node is not None and _is_cast(node) else value.dtype


def _obstacle(before: ir.Node, node: ir.Node, source: ir.Value, editor: Editor) -> str:
    if _dtype(source) == _goal(node):
        return editor.blocker(node.outputs[0], source)
    between = before.outputs[0]
    if before.graph is not node.graph:
        return "the two casts are in different graphs"
    if between.is_graph_output():
        return f"{between.name!r} is a graph output"
    if len(between.uses()) != 1:
        return f"{between.name!r} has other readers"
    return ""


def _merge(before: ir.Node, node: ir.Node, source: ir.Value, editor: Editor) -> None:
    between = before.outputs[0]
    if _dtype(source) == _goal(node):
        editor.redirect(node.outputs[0], source)
        node.replace_input_with(0, None)
        editor.remove(node)
    else:
        node.replace_input_with(0, source)
    if not between.uses() and not between.is_graph_output():
        editor.remove(before)
