"""Types of MIL values, and the check of a value against its declared type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from irconv.runtime.values import dtype_name, numpy_dtype

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = [
    "DTYPES",
    "ListType",
    "MilList",
    "MilValue",
    "State",
    "StateType",
    "TensorType",
    "Type",
    "explain_mismatch",
]

DTYPES = {
    1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16",
    21: "int8", 22: "int16", 23: "int32", 24: "int64", 25: "int4", 31: "uint8", 32: "uint16",
    33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2", 37: "uint1", 38: "uint6", 39: "uint3",
    40: "float8_e4m3fn", 41: "float8_e5m2",
}  # fmt: skip
"""Full dtype name by the number of ``MIL.proto``'s ``DataType``."""

_HELD_IN_BYTES = {"uint1", "uint2", "uint3", "uint4", "uint6"}
_HELD_IN_SIGNED_BYTES = {"int4"}


@dataclass(frozen=True)
class TensorType:
    """A tensor.

    Attributes:
        dtype: Full dtype name; also ``uint1``, ``uint3`` and ``uint6``.
        shape: Sizes, None for one known at run time only.
    """

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join('?' if d is None else str(d) for d in self.shape)}]"

    @property
    def held_as(self) -> np.dtype[Any]:
        """The NumPy dtype of arrays of this type; narrow integers take a byte each."""
        if self.dtype in _HELD_IN_BYTES:
            return np.dtype(np.uint8)
        if self.dtype in _HELD_IN_SIGNED_BYTES:
            return np.dtype(np.int8)
        return numpy_dtype(self.dtype)


@dataclass(frozen=True)
class ListType:
    """A list of tensors.

    Attributes:
        element: Type of each element.
        length: Its length, None where known at run time only.
    """

    element: TensorType
    length: int | None

    def __str__(self) -> str:
        return f"list<{self.element}, {'?' if self.length is None else self.length}>"


@dataclass(frozen=True)
class StateType:
    """A tensor that outlives a prediction."""

    content: TensorType

    def __str__(self) -> str:
        return f"state<{self.content}>"


Type: TypeAlias = "TensorType | ListType | StateType"


class MilList:
    """A list of tensors, which ``list_write`` and ``list_scatter`` change by making a new one.

    Args:
        elements: The elements; None for one not written yet.
        dynamic_length: Whether writing beyond the end makes it longer.
        dtype: NumPy dtype of the elements.
        shape: Shape of the elements.
    """

    def __init__(
        self,
        elements: tuple[Array | None, ...],
        dynamic_length: bool,
        dtype: np.dtype[Any],
        shape: tuple[int | None, ...],
    ) -> None:
        self.elements = elements
        self.dynamic_length = dynamic_length
        self.dtype = dtype
        self.shape = shape


class State:
    """A cell that ``read_state`` reads and ``coreml_update_state`` writes."""

    def __init__(self, value: Array) -> None:
        self.value = value


MilValue: TypeAlias = "Array | str | MilList | State | tuple[Any, ...]"


def explain_mismatch(value: MilValue, declared: Type) -> str:
    """Return how a value differs from its declared type, or the empty string."""
    if isinstance(declared, StateType):
        if not isinstance(value, State):
            return f"it is declared {declared} and is no state"
        return explain_mismatch(value.value, declared.content)
    if isinstance(declared, ListType):
        return "" if isinstance(value, MilList) else f"it is declared {declared} and is no list"
    if isinstance(value, str):
        return "" if declared == TensorType("string", ()) else f"it is declared {declared}"
    if not isinstance(value, np.ndarray):
        return f"it is declared {declared}"
    fits = len(declared.shape) == value.ndim and all(
        size is None or size == actual
        for size, actual in zip(declared.shape, value.shape, strict=True)
    )
    if fits and value.dtype == declared.held_as:
        return ""
    actual = TensorType(dtype_name(value.dtype), value.shape)
    return f"it is declared {declared} and comes out as {actual}"
