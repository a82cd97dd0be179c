"""Limits of operators that split and gather, as far as static shapes show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv_openvino.support.node import attribute_int, has_input, value_at

if TYPE_CHECKING:
    from irconv_openvino.support.node import Check

__all__ = ["REFUSALS"]


def _dims(value: ir.Value | None) -> list[int | None] | None:
    if value is None or value.shape is None:
        return None
    return [dim if isinstance(dim, int) else None for dim in value.shape]


def _split(node: ir.Node) -> str:
    """An even split needs at least one element for each output."""
    dims = _dims(value_at(node, 0))
    if dims is None or has_input(node, 1) or "split" in node.attributes:
        return ""
    size, parts = dims[attribute_int(node, "axis", 0)], len(node.outputs)
    if size is not None and size < parts:
        return f"OpenVINO 2026.4 does not split {size} elements into {parts} outputs"
    return ""


def _gather_elements(node: ir.Node) -> str:
    """Data and indices must be of one size but along the axis; ONNX allows smaller indices."""
    data, indices = _dims(value_at(node, 0)), _dims(value_at(node, 1))
    if data is not None and None not in data and indices is None:
        return "the rank of the indices is not known, and OpenVINO 2026.4 takes only the data's"
    if data is None or indices is None or len(data) != len(indices):
        return ""
    axis = attribute_int(node, "axis", 0) % len(data)
    for dim, (one, other) in enumerate(zip(data, indices, strict=True)):
        if dim != axis and one is not None and other is not None and one != other:
            return (
                f"OpenVINO 2026.4 gathers only where data and indices are of one size in "
                f"dimension {dim}, which is {one} and {other}"
            )
    return ""


REFUSALS: Mapping[str, Check] = {"GatherElements": _gather_elements, "Split": _split}
