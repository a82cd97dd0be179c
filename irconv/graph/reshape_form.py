"""What a node that only renames positions makes of its input's dims.

``Reshape``, ``Flatten``, ``Squeeze``, ``Unsqueeze``, and a ``Transpose`` that moves nothing but
dimensions of size 1, keep all elements in their order (ONNX operator specification). Each is
told by the sizes of its output: numbers, dims of its input, and at most one that follows from
all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.constants import constant_ints

__all__ = ["Kept", "ReshapeForm", "dims_as_items", "reshape_form", "reshape_target"]


@dataclass(frozen=True)
class Kept:
    """The size of the dim ``axis`` of the input, which only the run knows."""

    axis: int


Item = int | Kept | None
"""A size: a number of at least 1, a dim of the input, or None for what the others leave."""


@dataclass(frozen=True)
class ReshapeForm:
    """A reshaping of ``source`` to the sizes ``items``."""

    source: ir.Value
    items: tuple[Item, ...]

    def of(self, before: ReshapeForm) -> ReshapeForm:
        """Return this reshaping, of the result of ``before``, as one of the source of that."""
        items = [before.items[item.axis] if isinstance(item, Kept) else item for item in self.items]
        return ReshapeForm(before.source, _settled(items, dims_as_items(before.source.shape)))


def dims_as_items(shape: ir.Shape | None) -> tuple[Item, ...] | None:
    """Return dims as sizes; None where the rank is unknown or a dim is 0."""
    if shape is None or any(dim == 0 for dim in shape):
        return None
    return tuple(dim if isinstance(dim, int) else Kept(axis) for axis, dim in enumerate(shape))


def reshape_target(form: ReshapeForm) -> tuple[int, ...] | None:
    """Return the constant target of a ``Reshape``; None where there is none.

    0 copies the dim at the same place, and -1 stands for one other size that is no number.
    """
    target = tuple(
        item if isinstance(item, int) else 0 if item == Kept(position) else -1
        for position, item in enumerate(form.items)
    )
    return target if target.count(-1) <= 1 else None


def reshape_form(node: ir.Node) -> ReshapeForm | None:
    """Return what a node of the ONNX domain does, or None where it does more, or too little known.

    From opset 5 on, where ``Reshape`` takes its target as an input.
    """
    rule = _RULES.get(node.op_type) if node.domain == "" else None
    if rule is None or not node.inputs or node.inputs[0] is None:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    source = node.inputs[0]
    items = rule(node, dims_as_items(source.shape))
    if items is None or items.count(None) > 1:
        return None
    return ReshapeForm(source, items)


def _reshape(node: ir.Node, dims: Sequence[Item] | None) -> tuple[Item, ...] | None:
    target = constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None
    if target is None or (0 in target and node.attributes.get_int("allowzero", 0) == 1):
        return None
    items: list[Item] = []
    for axis, size in enumerate(target):
        if size == 0 and dims is not None and axis < len(dims):
            items.append(dims[axis])
        elif size == 0:
            items.append(Kept(axis))
        else:
            items.append(None if size < 0 else size)
    return _settled(items, dims)


def _settled(items: list[Item], dims: Sequence[Item] | None) -> tuple[Item, ...]:
    """Return sizes with the open one found, where the input's dims tell it."""
    if items.count(None) == 1 and dims is not None:
        items[items.index(None)] = _rest(dims, [item for item in items if item is not None])
    return tuple(items)


def _rest(dims: Sequence[Item], others: Sequence[Item]) -> Item:
    """Return the size that is left of ``dims`` beside ``others``."""
    left = [item for item in dims if not isinstance(item, int)]
    for item in others:
        if not isinstance(item, int):
            if item not in left:
                return None
            left.remove(item)
    whole, taken = _product(dims), _product(others)
    if whole % taken:
        return None
    if not left:
        return whole // taken
    return left[0] if len(left) == 1 and whole == taken else None


def _product(items: Sequence[Item]) -> int:
    return math.prod(item for item in items if isinstance(item, int))


def _flatten(node: ir.Node, dims: Sequence[Item] | None) -> tuple[Item, ...] | None:
    if dims is None:
        return None
    axis = node.attributes.get_int("axis", 1)
    axis += len(dims) if axis < 0 else 0
    return tuple(_rest(part, ()) for part in (dims[:axis], dims[axis:]))


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    attribute = node.attributes.get("axes")
    if attribute is not None:
        return tuple(attribute.as_ints())
    return constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None


def _squeeze(node: ir.Node, dims: Sequence[Item] | None) -> tuple[Item, ...] | None:
    axes = _axes(node)
    if dims is None or axes is None or not all(-len(dims) <= axis < len(dims) for axis in axes):
        return None
    gone = {axis % len(dims) for axis in axes}
    return tuple(item for axis, item in enumerate(dims) if axis not in gone)


def _unsqueeze(node: ir.Node, dims: Sequence[Item] | None) -> tuple[Item, ...] | None:
    axes = _axes(node)
    if dims is None or axes is None:
        return None
    rank = len(dims) + len(axes)
    if not all(-rank <= axis < rank for axis in axes):
        return None
    new = {axis % rank for axis in axes}
    rest = iter(dims)
    return tuple(1 if axis in new else next(rest) for axis in range(rank))


def _transpose(node: ir.Node, dims: Sequence[Item] | None) -> tuple[Item, ...] | None:
    if dims is None:
        return None
    perm = node.attributes.get("perm")
    order = tuple(reversed(range(len(dims)))) if perm is None else tuple(perm.as_ints())
    if sorted(order) != list(range(len(dims))):
        return None
    moving = [axis for axis in order if dims[axis] != 1]
    return tuple(dims[axis] for axis in order) if moving == sorted(moving) else None


_Rule = Callable[[ir.Node, Sequence[Item] | None], tuple[Item, ...] | None]
_RULES: Mapping[str, _Rule] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
