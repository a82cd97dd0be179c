"""Attributes of nodes, with their defaults."""

from __future__ import annotations

import onnx_ir as ir

from irconv_tflite.emit.refusal import RefusalError

__all__ = ["float_attribute", "given", "int_attribute", "ints_attribute", "text_attribute"]


def _attribute(node: ir.Node, name: str) -> ir.Attr | None:
    attribute = node.attributes.get(name)
    if attribute is not None and attribute.is_ref():
        raise RefusalError(
            "UNSUPPORTED_FORM", f"its attribute {name} depends on a caller", "inline the function"
        )
    return attribute


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute."""
    attribute = _attribute(node, name)
    return default if attribute is None else attribute.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """Return a float attribute."""
    attribute = _attribute(node, name)
    return default if attribute is None else attribute.as_float()


def text_attribute(node: ir.Node, name: str, default: str) -> str:
    """Return a string attribute."""
    attribute = _attribute(node, name)
    return default if attribute is None else attribute.as_string()


def ints_attribute(node: ir.Node, name: str) -> list[int] | None:
    """Return a list of integers, or None where it is left out."""
    attribute = _attribute(node, name)
    return None if attribute is None else list(attribute.as_ints())


def given(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None
