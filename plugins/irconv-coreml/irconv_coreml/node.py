"""Questions about a node, answered from the IR alone, for checks and emitters alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor

__all__ = [
    "attr_float", "attr_int", "attr_ints", "attr_text", "constant", "constant_int_list", "dtype",
    "given", "output_dtype", "output_shape", "rank", "shape", "static_shape",
]  # fmt: skip


def attr_int(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute, or the default where it is left out."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def attr_float(node: ir.Node, name: str, default: float) -> float:
    """Return a float attribute, or the default where it is left out."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def attr_text(node: ir.Node, name: str, default: str) -> str:
    """Return a string attribute, or the default where it is left out."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def attr_ints(node: ir.Node, name: str) -> list[int] | None:
    """Return a list of integers, or None where the attribute is left out."""
    attribute = node.attributes.get(name)
    return None if attribute is None else list(attribute.as_ints())


def given(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input, or None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant(node: ir.Node, index: int) -> np.ndarray[Any, Any] | None:
    """Return the constant value of an input, or None where it is none or left out."""
    tensor = constant_tensor(given(node, index))
    return None if tensor is None else tensor.numpy()


def constant_int_list(node: ir.Node, index: int) -> list[int] | None:
    """Return a constant integer input, flattened, or None."""
    array = constant(node, index)
    return None if array is None else [int(item) for item in array.reshape(-1)]


def dtype(node: ir.Node, index: int) -> ir.DataType | None:
    """Return the dtype of an input, or None where it is unknown or left out."""
    value = given(node, index)
    return None if value is None else value.dtype


def output_dtype(node: ir.Node, index: int = 0) -> ir.DataType | None:
    """Return the dtype of an output."""
    return node.outputs[index].dtype


def _dims(value: ir.Value | None) -> tuple[int | None, ...] | None:
    if value is None or value.shape is None:
        tensor = constant_tensor(value)
        return None if tensor is None else tuple(tensor.shape.numpy())
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def shape(node: ir.Node, index: int) -> tuple[int | None, ...] | None:
    """Return the dims of an input, None for a dim that is not known."""
    return _dims(given(node, index))


def output_shape(node: ir.Node, index: int = 0) -> tuple[int | None, ...] | None:
    """Return the dims of an output, None for a dim that is not known."""
    return _dims(node.outputs[index])


def static_shape(dims: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    """Return the dims if all are known, otherwise None."""
    if dims is None:
        return None
    known = tuple(dim for dim in dims if dim is not None)
    return known if len(known) == len(dims) else None


def rank(node: ir.Node, index: int) -> int | None:
    """Return the rank of an input, or None where it is unknown."""
    dims = shape(node, index)
    return None if dims is None else len(dims)
