"""Which part of a tensor a ``Slice`` or an output of a ``Split`` is.

Bounds are those of the ONNX operator specifications: negative ones count from the end, and those
beyond are clamped. Only constant bounds on axes of known size are read, and bounds that leave an
axis of any size whole: from 0 to the largest int32 or beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import onnx_ir as ir

from irconv.graph.constants import constant_ints

__all__ = ["Part", "part_of", "split_sizes"]


@dataclass(frozen=True)
class Part:
    """The elements of ``source`` at the given indices of each axis; all of the other axes."""

    source: ir.Value
    ranges: Mapping[int, range]

    def single(self) -> tuple[int, range] | None:
        """Return the axis and its indices where one axis is cut."""
        return next(iter(self.ranges.items())) if len(self.ranges) == 1 else None


def part_of(value: ir.Value | None) -> Part | None:
    """Return which part of another value this is; None where it is none, or not known."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type not in ("Slice", "Split"):
        return None
    source = node.inputs[0] if node.inputs else None
    if source is None or source.shape is None:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    if node.op_type == "Split":
        return _split(node, node.outputs.index(value), source)
    return _slice(node, source, source.shape)


def split_sizes(node: ir.Node) -> tuple[int, tuple[int, ...]] | None:
    """Return the axis of a ``Split`` and the sizes of its outputs, where those are known."""
    source = node.inputs[0]
    if source is None or source.shape is None or not len(source.shape):
        return None
    axis = node.attributes.get_int("axis", 0)
    rank = len(source.shape)
    if not -rank <= axis < rank:
        return None
    axis %= rank
    given = node.attributes.get("split")
    if given is not None:
        return axis, tuple(given.as_ints())
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = constant_ints(node.inputs[1])
        return None if sizes is None else (axis, sizes)
    whole, count = source.shape[axis], len(node.outputs)
    if not isinstance(whole, int):
        return None
    each = -(-whole // count)
    return axis, (*(each,) * (count - 1), whole - each * (count - 1))


def _split(node: ir.Node, index: int, source: ir.Value) -> Part | None:
    found = split_sizes(node)
    if found is None or len(found[1]) != len(node.outputs) or any(size < 0 for size in found[1]):
        return None
    axis, sizes = found
    ends = tuple(accumulate(sizes))
    return Part(source, {axis: range(ends[index] - sizes[index], ends[index])})


def _slice(node: ir.Node, source: ir.Value, shape: ir.Shape) -> Part | None:
    bounds = [_ints(node, name, index) for index, name in enumerate(_INPUTS, 1)]
    starts, ends, axes, steps = bounds
    if (
        starts is None
        or ends is None
        or _is_computed(node, axes, 3)
        or _is_computed(node, steps, 4)
    ):
        return None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        return None
    ranges: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis] if -len(shape) <= axis < len(shape) else None
        if axis % len(shape) in ranges:
            return None
        if isinstance(size, int):
            bounded = slice(start, _end(end, step, size), step)
            ranges[axis % len(shape)] = range(*bounded.indices(size))
        elif size is None or start != 0 or step != 1 or end < _INT_MAX:
            return None
    return Part(source, ranges) if ranges else None


def _end(end: int, step: int, size: int) -> int | None:
    """Return an end as Python's slices count; below the first index there is none."""
    return None if step < 0 and end < -size else end


def _ints(node: ir.Node, name: str, index: int) -> tuple[int, ...] | None:
    attribute = node.attributes.get(name)
    if attribute is not None:
        return tuple(attribute.as_ints())
    return constant_ints(node.inputs[index]) if index < len(node.inputs) else None


def _is_computed(node: ir.Node, found: tuple[int, ...] | None, index: int) -> bool:
    return found is None and index < len(node.inputs) and node.inputs[index] is not None


_INT_MAX = 2**31 - 1
_INPUTS = ("starts", "ends", "axes", "steps")
