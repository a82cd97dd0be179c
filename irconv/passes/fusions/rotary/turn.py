"""The turn itself: x · cos + turned(x) · sin, told apart from the node that negates.

With x of dims (…, D) in halves x1 and x2 (or, interleaved, of even and odd elements), turned(x)
is (-x2, x1), so that in either half (RotaryEmbedding, ONNX operator specification)::

    y1 = x1 cos - x2 sin        y2 = x2 cos + x1 sin
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import made_by, number_attribute, only_reader, operand, pairs

__all__ = ["Turn", "cut_of", "turn_at"]


@dataclass(frozen=True)
class Turn:
    """A place of rotary embedding.

    Attributes:
        data: x.
        cos: What x is multiplied by.
        sin: What x turned is multiplied by.
        output: The sum.
        interleaved: Whether even and odd elements are the two halves.
    """

    data: ir.Value
    cos: ir.Value
    sin: ir.Value
    output: ir.Value
    interleaved: bool


@dataclass(frozen=True)
class _Cut:
    """Elements start, start + step, … up to stop of the last dim of a value."""

    source: ir.Value
    start: int
    stop: int
    step: int


def turn_at(negation: ir.Node, sizes: Sizes) -> Turn | None:
    """Return the turn around a Neg, or None if it turns nothing.

    Raises:
        Keep: If something is turned, and not added to itself multiplied.
    """
    if not _is_cut(operand(negation, 0)):
        return None
    second = cut_of(operand(negation, 0), sizes)
    if second is None:
        return None
    half = _turned_half(negation, second, sizes) or _turned_pairs(negation, second, sizes)
    if half is None:
        return None
    turned, interleaved = half
    product = only_reader(turned, "Mul")
    total = None if product is None else only_reader(product.outputs[0], "Add")
    if product is None or total is None:
        raise Keep(f"{turned.name!r} is not multiplied and added once")
    for first, other in pairs(total.outputs[0], "Add"):
        if other is not product.outputs[0]:
            continue
        for data, cos in pairs(first, "Mul"):
            if data is second.source:
                sin = product.inputs[1] if product.inputs[0] is turned else product.inputs[0]
                assert sin is not None
                return Turn(data, cos, sin, total.outputs[0], interleaved)
    raise Keep(
        f"what {product.outputs[0].name!r} is added to is no product of {second.source.name!r}"
    )


def _turned_half(negation: ir.Node, second: _Cut, sizes: Sizes) -> tuple[ir.Value, bool] | None:
    """Concat(Neg(second half), first half)."""
    concat = only_reader(negation.outputs[0], "Concat")
    if concat is None or len(concat.inputs) != 2 or concat.inputs[0] is not negation.outputs[0]:
        return None
    first, width = cut_of(concat.inputs[1], sizes), _width(second.source, sizes)
    if first is None or width is None or first.source is not second.source:
        return None
    middle = width // 2
    halves = (first.start, first.stop, second.start, second.stop) == (0, middle, middle, width)
    if not halves or first.step != 1 or second.step != 1 or width % 2:
        return None
    return (concat.outputs[0], False) if _is_last(concat, sizes) else None


def _turned_pairs(negation: ir.Node, second: _Cut, sizes: Sizes) -> tuple[ir.Value, bool] | None:
    """Reshape(Concat(Unsqueeze(Neg(odd)), Unsqueeze(even)))."""
    column = only_reader(negation.outputs[0], "Unsqueeze")
    concat = None if column is None else only_reader(column.outputs[0], "Concat")
    if column is None or concat is None or len(concat.inputs) != 2:
        return None
    other = made_by(concat.inputs[1], "Unsqueeze")
    first = None if other is None else cut_of(operand(other, 0), sizes)
    merge = only_reader(concat.outputs[0], "Reshape")
    width = _width(second.source, sizes)
    if first is None or merge is None or width is None or first.source is not second.source:
        return None
    if concat.inputs[0] is not column.outputs[0] or width % 2 or not _is_last(concat, sizes):
        return None
    if (first.start, first.step, second.start, second.step) != (0, 2, 1, 2):
        return None
    if min(first.stop, second.stop) < width - 1 or second.stop < width:
        return None
    dims = sizes.dims(second.source)
    wide, merged = sizes.dims(concat.outputs[0]), sizes.dims(merge.outputs[0])
    if dims is None or wide != (*dims[:-1], width // 2, 2) or merged != dims:
        return None
    return merge.outputs[0], True


def _is_last(concat: ir.Node, sizes: Sizes) -> bool:
    dims = sizes.dims(concat.outputs[0])
    return dims is not None and number_attribute(concat, "axis", 0) in (-1, len(dims) - 1)


def _width(value: ir.Value, sizes: Sizes) -> int | None:
    dims = sizes.dims(value)
    return dims[-1] if dims and isinstance(dims[-1], int) else None


def _is_cut(value: ir.Value | None) -> bool:
    node = None if value is None else value.producer()
    return node is not None and node.domain == "" and node.op_type in ("Slice", "Split")


def cut_of(value: ir.Value | None, sizes: Sizes) -> _Cut | None:
    """Return which part of the last dim of another value a Slice or Split gives."""
    node = None if value is None else value.producer()
    source = None if node is None else operand(node, 0)
    width = None if source is None else _width(source, sizes)
    if node is None or source is None or width is None or node.domain != "" or value is None:
        return None
    rank = len(sizes.dims(source) or ())
    if node.op_type == "Slice":
        numbers = [constant_ints(item) for item in node.inputs[1:] if item is not None]
        if len(numbers) != len(node.inputs) - 1 or any(
            part is None or len(part) != 1 for part in numbers
        ):
            return None
        start, stop, axis, step = (
            *(part[0] for part in numbers if part),
            *(0, 1)[len(numbers) - 2 :],
        )
        if axis not in (-1, rank - 1) or step < 1 or len(numbers) < 3:
            return None
        start, stop, step = slice(start, stop, step).indices(width)
        return _Cut(source, start, stop, step)
    if node.op_type == "Split" and number_attribute(node, "axis", 0) in (-1, rank - 1):
        parts = [sizes.dims(output) for output in node.outputs]
        widths = [part[-1] for part in parts if part and isinstance(part[-1], int)]
        if len(widths) != len(parts):
            return None
        index = list(node.outputs).index(value)
        start = sum(widths[:index])
        return _Cut(source, start, start + widths[index], 1)
    return None
