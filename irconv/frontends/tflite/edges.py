"""The tensors of a graph while it is converted, in the forms in which operators want them.

TFLite's images have their channels last and ONNX's have them first. An edge keeps a tensor in
either layout or both: a convolution reads and writes channels first, an elementwise operator
follows its operands, and a Transpose stands only where somebody wants the other layout. In the
same way an edge of a quantized tensor has its integers, the real numbers, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv.frontends.tflite.nodes import ONNX_DTYPES, Nodes
from irconv.frontends.tflite.refusal import RefusalError
from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from irconv.frontends.tflite.file import ModelFile
    from irconv.frontends.tflite.model import Quantization, Tensor
    from irconv.runtime.base import Array

__all__ = ["Edge", "first_to_last", "last_to_first"]

_SMALL = 4096
_IMAGE_RANKS = (3, 4, 5)


def last_to_first(rank: int) -> list[int]:
    """Return the permutation that brings channels from the last place to the second."""
    return [0, rank - 1, *range(1, rank - 1)]


def first_to_last(rank: int) -> list[int]:
    """Return the permutation that brings channels from the second place to the last."""
    return [0, *range(2, rank), 1]


class Edge:
    """One tensor of one graph.

    Args:
        tensor: What the file says of it.
        nodes: The graph that it belongs to.
        file: Where constants come from.

    Attributes:
        tensor: What the file says of it.
        stored: The constant that a DEQUANTIZE made this edge of, where it is one.
        refused: Whether an operator that it depends on was refused.
        disguise: The dtype that its numbers have really, where the file says another.
        items: Of a tensor of sizes, those that are known before the model runs.
        cache: What converters derived from it for each other.
    """

    def __init__(self, tensor: Tensor, nodes: Nodes, file: ModelFile) -> None:
        self.tensor = tensor
        self.stored: Edge | None = None
        self.refused = False
        self.disguise = ""
        self.items: list[int | None] | None = None
        self.cache: dict[str, Any] = {}
        self._nodes = nodes
        self._file = file
        self._values: dict[tuple[bool, bool], ir.Value] = {}
        self._computed = False

    # What is known

    @property
    def quantization(self) -> Quantization | None:
        """How its integers stand for real numbers."""
        return self.tensor.quantization

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes with channels last, None for dynamic ones; refused where there is no rank."""
        if self.tensor.shape is None:
            raise RefusalError(
                f"the rank of tensor {self.tensor.name!r} is not in the file",
                "convert the model with static input shapes",
            )
        shape = self.tensor.shape
        if None in shape:
            for (_, first), value in self._values.items():
                shape = _refined(shape, value, first)
        return shape

    @property
    def rank(self) -> int:
        """Number of dimensions; refused where it is unknown."""
        return len(self.shape if self.tensor.shape is None else self.tensor.shape)

    @property
    def is_constant(self) -> bool:
        """Whether it is in the file, or was converted from what is."""
        return self.stored is not None or (self.tensor.data is not None and not self._computed)

    @property
    def may_be_first(self) -> bool:
        """Whether it has a layout at all."""
        return self.tensor.shape is not None and self.rank in _IMAGE_RANKS

    @property
    def is_first(self) -> bool:
        """Whether it is at hand with channels first, and only so."""
        return self._computed and all(first for _, first in self._values)

    @property
    def has_first(self) -> bool:
        """Whether it is at hand with channels first."""
        return self._computed and any(first for _, first in self._values)

    # Reading

    def array(self) -> Array:
        """Return a constant's numbers as they are stored.

        Raises:
            RefusalError: If they are stored sparsely.
        """
        tensor = (self.stored or self).tensor
        if tensor.sparse:
            raise RefusalError(
                f"tensor {tensor.name!r} is stored sparsely",
                "convert the model without sparse weights",
            )
        return self._file.array(tensor)

    def real_array(self) -> Array:
        """Return a constant's real numbers."""
        source = self.stored or self
        array, quantization = self.array(), source.quantization
        if quantization is None:
            return array.astype(np.float32) if self.stored else array
        shape = [1] * array.ndim
        if quantization.per_axis:
            shape[quantization.axis] = -1
        scales = np.asarray(quantization.scales, np.float32).reshape(shape)
        points = np.asarray(quantization.zero_points, np.int64).reshape(shape)
        real: Array = ((array - points) * scales).astype(np.float32)
        return real

    def raw(self, *, first: bool = False) -> ir.Value:
        """Return the tensor in its own dtype."""
        return self._form(raw=True, first=first)

    def read(self, *, raw: bool, first: bool = False) -> ir.Value:
        """Return the tensor in its own dtype, or the real numbers."""
        return self.raw(first=first) if raw else self.real(first=first)

    def real(self, *, first: bool = False) -> ir.Value:
        """Return the real numbers that the tensor stands for."""
        return self._form(raw=self._plain, first=first)

    def weight(
        self, permutation: Sequence[int] | None = None, shape: Sequence[int] | None = None
    ) -> ir.Value:
        """Return real numbers in another order of dimensions; a constant is reordered now.

        Args:
            permutation: New order of the dimensions.
            shape: Shape to give to it before that, which must not split or join the dimension
                of per-axis quantization.
        """
        order = list(permutation) if permutation is not None else list(range(self.rank))
        if not self.is_constant:
            if shape is None and order == last_to_first(self.rank):
                return self.real(first=True)
            value = self.real()
            if shape is not None:
                value = self._nodes.reshape(value, shape)
            return self._nodes.transpose(value, order)
        return self._constant(order, shape)

    # Writing

    def set_raw(self, value: ir.Value, *, first: bool = False) -> None:
        """Say what computes the tensor in its own dtype."""
        self._values = {(True, first): self._named(value)}
        self._computed = True

    def set_real(self, value: ir.Value, *, first: bool = False) -> None:
        """Say what computes the real numbers; a quantized tensor is rounded to its grid."""
        if not self._plain:
            value = self._quantize(value, first=first)
        self.set_raw(value, first=first)

    def also(self, value: ir.Value, *, first: bool) -> None:
        """Say that the tensor, in its own dtype, is at hand in another layout as well."""
        self._values.setdefault((True, first), value)

    # Inside

    @property
    def _plain(self) -> bool:
        return self.quantization is None

    def _named(self, value: ir.Value) -> ir.Value:
        producer = value.producer()
        if producer is not None and (value.name or "").startswith(f"{producer.op_type}_value"):
            value.name = self._nodes.pool.name(self.tensor.name)
        return value

    def _form(self, *, raw: bool, first: bool) -> ir.Value:
        key = (raw, first)
        if key not in self._values:
            self._values[key] = self._derive(raw=raw, first=first)
        return self._values[key]

    def _derive(self, *, raw: bool, first: bool) -> ir.Value:
        nodes = self._nodes
        if self.is_constant:
            order = last_to_first(self.rank) if first else list(range(self.rank))
            if raw and self.stored is None:
                return self._stored_constant(order, None)
            return self._constant(order, None)
        other = (raw, not first)
        if not raw and (True, first) in self._values:
            return self._dequantize(self._values[True, first], first=first)
        if other in self._values:
            permutation = last_to_first(self.rank) if first else first_to_last(self.rank)
            return nodes.transpose(self._values[other], permutation)
        if not raw:
            return self._dequantize(self.raw(first=first), first=first)
        raise RefusalError(
            f"tensor {self.tensor.name!r} keeps its value from one run to the next",
            "convert the model without resource variables",
        )

    def _constant(self, order: Sequence[int], shape: Sequence[int] | None) -> ir.Value:
        """Return a constant's real numbers: stored as they are, converted by a node."""
        source = self.stored or self
        stored = self._stored_constant(order, shape)
        if source.quantization is not None:
            axis = source.quantization.axis
            if shape is not None and source.quantization.per_axis:
                axis = _place_of(axis, source.shape, shape)
            return _dequantized(
                self._nodes,
                stored,
                source.tensor.dtype,
                source.quantization,
                list(order).index(axis) if source.quantization.per_axis else 0,
            )
        if self.stored is not None:
            return self._nodes.cast(stored, "float32")
        return stored

    def _stored_constant(self, order: Sequence[int], shape: Sequence[int] | None) -> ir.Value:
        tensor = (self.stored or self).tensor
        array = self.array()
        if self.disguise:
            array = array.view(numpy_dtype(self.disguise))
        as_stored = shape is None and list(order) == list(range(array.ndim))
        native = tensor.dtype not in ("bool", "string", "int4", "uint4", "int2")
        pool = self._nodes.pool
        if as_stored and native and array.nbytes > _SMALL:
            assert tensor.data is not None
            return pool.mapped(array, tensor.name, Path(self._file.path), tensor.data.offset)
        if shape is not None:
            array = array.reshape(shape)
        assert tensor.data is not None
        key = (tensor.data.offset, array.dtype.name, array.shape, tuple(order))
        return pool.shared(key, lambda: np.array(array.transpose(order)), tensor.name)

    def _quantize(self, value: ir.Value, *, first: bool) -> ir.Value:
        scale, point, axis = self._grid(first)
        if self.tensor.dtype in ("int32", "int64"):
            raise RefusalError(
                f"tensor {self.tensor.name!r} is computed as quantized {self.tensor.dtype}",
                "quantize to int8 or int16",
            )
        return self._nodes.op("QuantizeLinear", value, scale, point, axis=axis)

    def _dequantize(self, value: ir.Value, *, first: bool) -> ir.Value:
        assert self.quantization is not None
        axis = self.quantization.axis
        if first and self.quantization.per_axis:
            axis = last_to_first(self.rank).index(axis)
        return _dequantized(self._nodes, value, self.tensor.dtype, self.quantization, axis)

    def _grid(self, first: bool) -> tuple[ir.Value, ir.Value, int | None]:
        quantization = self.quantization
        assert quantization is not None
        if quantization.details:
            raise _unknown_scheme(quantization)
        axis = quantization.axis
        if first and quantization.per_axis:
            axis = last_to_first(self.rank).index(axis)
        scales: Any = list(quantization.scales)
        points: Any = list(quantization.zero_points)
        if not quantization.per_axis:
            scales, points = scales[0], points[0]
        dtype = ONNX_DTYPES[self.tensor.dtype].numpy().name
        return (
            self._nodes.constant(scales, "float32"),
            self._nodes.constant(points, dtype),
            axis if quantization.per_axis else None,
        )


def _dequantized(
    nodes: Nodes, value: ir.Value, dtype: str, quantization: Quantization, axis: int
) -> ir.Value:
    if quantization.details:
        raise _unknown_scheme(quantization)
    per_axis = quantization.per_axis
    scales: Any = list(quantization.scales) if per_axis else quantization.scales[0]
    points: Any = list(quantization.zero_points) if per_axis else quantization.zero_points[0]
    if dtype == "int64":
        real = nodes.cast(value, "float32")
        return nodes.op("Mul", real, nodes.constant(scales, "float32"))
    point = None
    if dtype != "int32" and np.any(points):
        point = nodes.constant(points, ONNX_DTYPES[dtype].numpy().name)
    return nodes.op(
        "DequantizeLinear",
        value,
        nodes.constant(scales, "float32"),
        point,
        axis=axis if per_axis else None,
    )


def _refined(shape: tuple[int | None, ...], value: ir.Value, first: bool) -> tuple[int | None, ...]:
    """Return a shape with the sizes that the file leaves open and the graph tells."""
    rank = len(shape)
    if value.shape is None or len(value.shape) != rank:
        return shape
    order = first_to_last(rank) if first else range(rank)
    known = [value.shape[axis] for axis in order]
    return tuple(
        found if size is None and isinstance(found, int) else size
        for size, found in zip(shape, known, strict=True)
    )


def _place_of(axis: int, before: Sequence[int | None], after: Sequence[int]) -> int:
    """Return where a dimension is after a reshape that keeps it."""
    count = 1
    for size in before[:axis]:
        count *= size or 1
    at = 1
    for place, size in enumerate(after):
        if at == count and size == before[axis]:
            return place
        at *= size
    raise AssertionError("a reshape splits the dimension of per-axis quantization")


def _unknown_scheme(quantization: Quantization) -> RefusalError:
    return RefusalError(
        f"a tensor is quantized by the scheme {quantization.details}",
        "quantize per tensor or per channel",
    )
