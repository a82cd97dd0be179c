"""Small questions about a node, answered from the IR alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[ir.Node], str]
    """Returns why OpenVINO does not take the node, or the empty string."""

__all__ = ["attribute_int", "attribute_text", "dtype_of", "has_input", "is_constant", "rank_of"]


def attribute_int(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute; the default where it is left out or a reference."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()


def attribute_text(node: ir.Node, name: str, default: str) -> str:
    """Return a string attribute; the default where it is left out or a reference."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_string()


def value_at(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def has_input(node: ir.Node, index: int) -> bool:
    """Return whether an input is given."""
    return value_at(node, index) is not None


def is_constant(node: ir.Node, index: int) -> bool:
    """Return whether an input is left out, or its value is part of the model."""
    value = value_at(node, index)
    return value is None or ir.convenience.get_const_tensor(value) is not None


def dtype_of(value: ir.Value | None) -> ir.DataType | None:
    """Return the dtype of a value, or None where it is unknown."""
    return None if value is None else value.dtype


def rank_of(value: ir.Value | None) -> int | None:
    """Return the rank of a value, or None where it is unknown."""
    return None if value is None or value.shape is None else value.shape.rank()
