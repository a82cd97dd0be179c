"""What a value of the IR is in the graph under construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx_ir as ir

__all__ = ["Held", "Ints", "Node", "annotation"]

Node: TypeAlias = Any
"""A ``torch.fx.Node``."""
Ints: TypeAlias = "list[int | Node] | Node"
"""Integers: one entry for each where their number is known, else a node of type list[int]."""


@dataclass
class Held:
    """A value: a tensor, integers that are known one by one, or both.

    Shapes stay integers, which torch.export follows as symbols; a tensor is made of them only
    where an operator needs one.

    Attributes:
        tensor: The node of the tensor, sequence or optional; None until it is asked for.
        ints: The integers of an int64 or int32 value of rank 0 or 1.
        scalar: Whether the rank of ``ints`` is 0.
    """

    tensor: Node | None = None
    ints: list[int | Node] | None = None
    scalar: bool = False


def annotation(value: ir.Value) -> Any:
    """Return the TorchScript type of a value."""
    import torch

    kind = value.type
    if isinstance(kind, ir.SequenceType):
        return list[torch.Tensor]
    if isinstance(kind, ir.OptionalType):
        inner = kind.elem_type
        element = list[torch.Tensor] if isinstance(inner, ir.SequenceType) else torch.Tensor
        return element | None
    return torch.Tensor
