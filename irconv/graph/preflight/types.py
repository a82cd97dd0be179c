"""Checking the types and shapes that a model declares for its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from irconv.graph.preflight.messages import damaged, shown
from irconv.graph.preflight.tensors import ELEMENT_TYPES, MAX_RANK
from irconv.graph.preflight.text import check_text

if TYPE_CHECKING:
    import onnx

__all__ = ["check_types"]


def check_types(value: onnx.ValueInfoProto, where: str, note: Callable[[str], None]) -> None:
    """Check the declared type of a value; a negative dimension is made an unknown one.

    Args:
        value: The value and its type.
        where: The graph that it belongs to.
        note: Takes what was changed, in plain words.

    Raises:
        InputError: If the element type is none that ONNX defines, or the rank is absurd.
    """
    check_text(value, where)
    if value.HasField("type"):
        _check_type(value.type, f"value {shown(value.name)} of {where}", note)


def _check_type(kind: onnx.TypeProto, label: str, note: Callable[[str], None]) -> None:
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        _check_type(kind.sequence_type.elem_type, label, note)
    elif which == "optional_type":
        _check_type(kind.optional_type.elem_type, label, note)
    elif which == "map_type":
        _check_element(kind.map_type.key_type, label)
        _check_type(kind.map_type.value_type, label, note)
    elif which in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(kind, which)
        _check_element(tensor.elem_type, label)
        if len(tensor.shape.dim) > MAX_RANK:
            raise damaged(f"{label}: its rank is {len(tensor.shape.dim)}, more than {MAX_RANK}")
        for dim in tensor.shape.dim:
            check_text(dim, label)
            if dim.dim_value < 0:
                dim.ClearField("dim_value")
                note(f"{label} had a negative dimension, which is read as an unknown one")


def _check_element(element: int, label: str) -> None:
    if element != 0 and element not in ELEMENT_TYPES:
        raise damaged(f"{label}: its element type is {element}, which ONNX does not define")
