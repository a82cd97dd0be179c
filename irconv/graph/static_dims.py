"""Following shape arithmetic whose dims are partly known.

``Shape`` of a value of shape [N, 3, 224] is [?, 3, 224]; taking its second item gives 3, although
the whole is not constant. A value is tracked as its items, None for those not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor

__all__ = ["StaticDims", "known_items"]


@dataclass(frozen=True)
class StaticDims:
    """An int64 tensor of rank 0 or 1 with items that may be unknown.

    Attributes:
        items: The items in order; None for one that is not known.
        is_scalar: Whether the rank is 0; then there is one item.
    """

    items: tuple[int | None, ...]
    is_scalar: bool = False

    @property
    def complete(self) -> bool:
        """Whether every item is known."""
        return None not in self.items


Known = Mapping[ir.Value, StaticDims]


def known_items(node: ir.Node, known: Known) -> StaticDims | None:
    """Return what is known of the output of ``node``, a node of the ONNX domain.

    Args:
        node: The node; ``Shape``, ``Size``, ``Gather``, ``Slice``, ``Concat``, ``Squeeze``,
            ``Unsqueeze`` and ``Identity`` are followed.
        known: What earlier calls returned.
    """
    rule = _RULES.get(node.op_type)
    return rule(node, known) if rule and node.inputs and node.inputs[0] is not None else None


def _lookup(value: ir.Value | None, known: Known) -> StaticDims | None:
    if value is None or value in known:
        return None if value is None else known[value]
    tensor = constant_tensor(value)
    items = constant_ints(value)
    if tensor is None or items is None or tensor.dtype != ir.DataType.INT64:
        return None
    rank = len(tensor.shape)
    return StaticDims(items, is_scalar=rank == 0) if rank <= 1 else None


def _int(node: ir.Node, name: str, default: int | None) -> int | None:
    attribute = node.attributes.get(name)
    if attribute is None:
        return default
    return None if attribute.is_ref() else attribute.as_int()


def _source_dims(node: ir.Node) -> tuple[int | None, ...] | None:
    value = node.inputs[0]
    if value is None:
        return None
    tensor = constant_tensor(value)
    if tensor is not None:
        return tuple(tensor.shape.numpy())
    if value.shape is None or not isinstance(value.type, ir.TensorType):
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def _shape(node: ir.Node, known: Known) -> StaticDims | None:
    del known
    dims = _source_dims(node)
    if dims is None or any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    return StaticDims(dims[_int(node, "start", 0) : _int(node, "end", None)])


def _size(node: ir.Node, known: Known) -> StaticDims | None:
    del known
    dims = _source_dims(node)
    if dims is None:
        return None
    size = 1
    for dim in dims:
        if dim is None:
            return None
        size *= dim
    return StaticDims((size,), is_scalar=True)


def _gather(node: ir.Node, known: Known) -> StaticDims | None:
    source, index = _lookup(node.inputs[0], known), constant_tensor(node.inputs[1])
    indices = constant_ints(node.inputs[1])
    if source is None or source.is_scalar or indices is None or index is None:
        return None
    if _int(node, "axis", 0) not in (0, -1) or len(index.shape) > 1:
        return None
    size = len(source.items)
    if not all(-size <= item < size for item in indices):
        return None
    return StaticDims(tuple(source.items[item] for item in indices), len(index.shape) == 0)


def _slice(node: ir.Node, known: Known) -> StaticDims | None:
    source = _lookup(node.inputs[0], known)
    if source is None or source.is_scalar or not 3 <= len(node.inputs) <= 5:
        return None
    parts = [constant_ints(value) for value in node.inputs[1:] if value is not None]
    if len(parts) != len(node.inputs) - 1 or any(part is None or len(part) != 1 for part in parts):
        return None
    numbers = [part[0] for part in parts if part is not None]
    start, end, axis, step = (*numbers, *(0, 1)[len(numbers) - 2 :])
    if axis not in (0, -1) or step < 1:
        return None
    return StaticDims(source.items[start:end:step])


def _concat(node: ir.Node, known: Known) -> StaticDims | None:
    parts = [_lookup(value, known) for value in node.inputs]
    items: tuple[int | None, ...] = ()
    for part in parts:
        if part is None or part.is_scalar:
            return None
        items += part.items
    return StaticDims(items) if _int(node, "axis", None) in (0, -1) else None


def _unsqueeze(node: ir.Node, known: Known) -> StaticDims | None:
    source = _lookup(node.inputs[0], known)
    axes = node.attributes.get("axes")
    given = constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None
    given = axes.as_ints() if axes is not None and not axes.is_ref() else given
    return StaticDims(source.items) if source and source.is_scalar and given in _FIRST else None


def _squeeze(node: ir.Node, known: Known) -> StaticDims | None:
    source = _lookup(node.inputs[0], known)
    if source is None or source.is_scalar or len(source.items) != 1:
        return None
    return StaticDims(source.items, is_scalar=True)


def _identity(node: ir.Node, known: Known) -> StaticDims | None:
    return _lookup(node.inputs[0], known)


_FIRST = ((0,), (-1,))
_RULES: Mapping[str, Callable[[ir.Node, Known], StaticDims | None]] = {
    "Concat": _concat,
    "Gather": _gather,
    "Identity": _identity,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
