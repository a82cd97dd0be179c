"""A TFLite model as plain data: tensors, operators and subgraphs, with no vendor class in it.

Emitting a model fills these classes and needs no SDK, so that :meth:`Backend.check` can try the
very code that emits. Only :mod:`irconv_tflite.emit.serialize` knows the FlatBuffer schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["Constant", "Operator", "Quantization", "Shape", "Subgraph", "Tensor"]

Shape = tuple[int | None, ...]
"""Sizes; None for one that is known only when the model runs."""


@dataclass(frozen=True)
class Constant:
    """Data of a constant tensor, read when it is written and not before.

    Attributes:
        load: Returns the array, in the tensor's dtype and shape.
        nbytes: Size of the array in bytes.
    """

    load: Callable[[], Array]
    nbytes: int


@dataclass(frozen=True)
class Quantization:
    """Affine quantization: real = scale * (stored - zero_point).

    Attributes:
        scales: One scale, or one for each index of ``axis``.
        zero_points: As many.
        axis: The quantized dimension; 0 where there is one scale.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(eq=False)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        dtype: Full dtype name, such as ``float32``.
        shape: Sizes, or None where the rank is unknown.
        name: Unique in the model.
        constant: The data, for a constant.
        quantization: How stored integers stand for real numbers.
    """

    dtype: str
    shape: Shape | None
    name: str
    constant: Constant | None = None
    quantization: Quantization | None = None

    @property
    def is_static(self) -> bool:
        """Whether every size is known."""
        return self.shape is not None and None not in self.shape


@dataclass(eq=False)
class Operator:
    """One call of a builtin operator.

    Attributes:
        code: Name in the schema's ``BuiltinOperator``, such as ``CONV_2D``.
        inputs: Tensors; None for an optional one that is left out.
        outputs: Tensors.
        options: Fields of the operator's options table, by the schema's names in lower camel
            case. Enumerations are given by name, dtypes by full dtype name, and a subgraph by
            the :class:`Subgraph` itself.
    """

    code: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Subgraph:
    """A graph with inputs and outputs; the first of a model is its main graph."""

    name: str
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
