"""Keeping a model's own names of dimensions apart from those that ONNX's inference makes up.

ONNX numbers what it makes up (``unk__0``, ``unk__1``, …) and passes over the numbers that it sees.
A model that went through the inference before has such names too, in places that are not shown to
it again, so equal names may mean different sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

__all__ = ["own_dim_name", "set_dim_names_apart"]

_MADE_UP = "unk__"
_OWN = "own:"


def set_dim_names_apart(graph: onnx.GraphProto) -> None:
    """Mark the names in a graph and its bodies that the inference could make up as well."""
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in _dims(info.type):
            if dim.dim_param.startswith((_MADE_UP, _OWN)):
                dim.dim_param = _OWN + dim.dim_param
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                set_dim_names_apart(attribute.g)
            for body in attribute.graphs:
                set_dim_names_apart(body)


def own_dim_name(name: str) -> str | None:
    """Return the name of a dimension as the model has it; None for one that was made up."""
    return None if name.startswith(_MADE_UP) else name.removeprefix(_OWN)


def _dims(kind: onnx.TypeProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    while True:
        match kind.WhichOneof("value"):
            case "sequence_type":
                kind = kind.sequence_type.elem_type
            case "optional_type":
                kind = kind.optional_type.elem_type
            case "tensor_type":
                yield from kind.tensor_type.shape.dim
                return
            case _:
                return
