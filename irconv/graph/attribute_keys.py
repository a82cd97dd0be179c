"""Keys that are equal where the attributes of two nodes are, to the last bit."""

from __future__ import annotations

import struct
from collections.abc import Hashable

import onnx_ir as ir

from irconv.graph.digest import TensorKey

__all__ = ["attributes_key"]


def attributes_key(node: ir.Node) -> Hashable:
    """Return a key that only nodes with equal attributes share; a body equals itself alone."""
    return tuple(
        sorted(
            ((name, _attribute_key(value)) for name, value in node.attributes.items()),
            key=lambda item: item[0],
        )
    )


def _attribute_key(attribute: ir.Attr) -> Hashable:
    if attribute.is_ref():
        return ("reference", attribute.ref_attr_name, attribute.type)
    if attribute.type == ir.AttributeType.TENSOR:
        return (attribute.type, TensorKey(attribute.as_tensor()))
    if attribute.type == ir.AttributeType.TENSORS:
        return (attribute.type, tuple(TensorKey(tensor) for tensor in attribute.as_tensors()))
    if attribute.type == ir.AttributeType.FLOAT:
        return (attribute.type, struct.pack("<d", attribute.as_float()))
    if attribute.type == ir.AttributeType.FLOATS:
        floats = attribute.as_floats()
        return (attribute.type, struct.pack(f"<{len(floats)}d", *floats))
    if attribute.type in _PLAIN:
        return (attribute.type, attribute.value)
    return (attribute.type, id(attribute.value))


_PLAIN = frozenset(
    {
        ir.AttributeType.INT,
        ir.AttributeType.INTS,
        ir.AttributeType.STRING,
        ir.AttributeType.STRINGS,
    }
)
