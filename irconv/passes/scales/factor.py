"""Constant factors, and what they do to constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.weights import chunks
from irconv.runtime.base import Array

__all__ = ["FLOATS", "Edit", "Factor", "factor_of", "largest", "scaled"]

FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)
_NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_LARGEST_FACTOR = 1 << 16


@dataclass(frozen=True)
class Factor:
    """A number for all of a tensor, or one for each index of an axis.

    Attributes:
        numbers: The numbers in float64; one where it holds for all.
        axis: The axis counted from the end, so from -1; of no meaning for a single number.
    """

    numbers: Array
    axis: int = -1

    @property
    def is_scalar(self) -> bool:
        """Whether one number holds for the whole tensor."""
        return self.numbers.size == 1

    @property
    def is_positive(self) -> bool:
        """Whether all numbers are above 0."""
        return bool((self.numbers > 0).all())

    def inverse(self) -> Factor:
        """Return what undoes this."""
        return Factor(1.0 / self.numbers, self.axis)

    def laid_out(self) -> Array:
        """Return the numbers in a shape that broadcasts against the tensor."""
        if self.is_scalar:
            return self.numbers.reshape(())
        return self.numbers.reshape(-1, *(1,) * (-1 - self.axis))

    def fits(self, value: ir.Value) -> bool:
        """Whether multiplying ``value`` keeps its shape."""
        if self.is_scalar:
            return True
        shape = value.shape
        return (
            shape is not None and len(shape) >= -self.axis and shape[self.axis] == self.numbers.size
        )

    def is_along(self, axis: int, rank: int) -> bool:
        """Whether it is one number, or one for each index of ``axis`` of ``rank``."""
        return self.is_scalar or self.axis == axis % rank - rank


@dataclass(frozen=True)
class Edit:
    """An input of a node that is to be multiplied.

    Attributes:
        node: The node.
        index: The input, which is constant.
        by: What to multiply by, broadcastable against it; a tensor of the same shape results,
            or a larger one of the shape of ``by``.
    """

    node: ir.Node
    index: int
    by: Array


def factor_of(value: ir.Value | None) -> Factor | str | None:
    """Return a float constant as a factor, or why it is none; None where it is not constant."""
    tensor = constant_tensor(value)
    if tensor is None or tensor.dtype not in FLOATS:
        return None
    if tensor.dtype in _NARROW:
        return f"{tensor.dtype} may overflow where a factor moves, and rounds each step coarsely"
    shape = tensor.shape.numpy()
    wide = [axis for axis, size in enumerate(shape) if size != 1]
    if len(wide) > 1 or tensor.size > _LARGEST_FACTOR or not tensor.size:
        return "its constant is neither one number nor one for each index of an axis"
    numbers = tensor.numpy().astype(np.float64).reshape(-1)
    if not np.isfinite(numbers).all() or not numbers.all():
        return "its constant has a 0 or is not finite"
    return Factor(numbers, wide[0] - len(shape) if wide else -1)


def scaled(tensor: ir.TensorProtocol, by: Array) -> Array:
    """Return a tensor multiplied in float64, in its own dtype; in chunks if its shape stays."""
    source = tensor.numpy()
    shape = np.broadcast_shapes(source.shape, by.shape)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if shape != source.shape:
            return np.asarray(source.astype(np.float64) * by).astype(source.dtype)
        result = np.empty(shape, source.dtype)
        whole = np.broadcast_to(by, shape)
        rows, factors = np.atleast_1d(result), np.atleast_1d(whole)
        for part, chunk in chunks(source):
            rows[part] = chunk.astype(np.float64) * factors[part]
    return result


def largest(tensor: ir.TensorProtocol) -> float:
    """Return the largest magnitude in a tensor; infinity where it is not finite everywhere."""
    most = 0.0
    for _, chunk in chunks(tensor.numpy()):
        if chunk.size:
            # Magnitudes of both ends, without a copy of the chunk.
            ends = float(chunk.max()), float(chunk.min())
            if not np.isfinite(ends).all():
                return float("inf")
            most = max(most, *map(abs, ends))
    return most
