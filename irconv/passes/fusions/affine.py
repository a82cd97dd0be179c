"""What follows a normalization and belongs to it: a scale, a bias, and casts.

Models in half precision normalize in float32 between two casts. LayerNormalization and
RMSNormalization do that by themselves (attribute ``stash_type``), so the casts go where scale
and bias can be stated exactly in the narrow dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import (
    dims_of,
    number_attribute,
    only_reader,
    other_operand,
    rank,
    static_dims,
    uncast,
)

__all__ = ["NARROW", "Affine", "Normalized", "Parameter", "absorbed"]

Parameter = ir.Value | npt.NDArray[Any]
"""A scale or bias: a value as it is, or a new constant."""
NARROW = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
"""What is computed exactly enough where the operator computes in float32."""


@dataclass(frozen=True)
class Affine:
    """A normalized value and what was done to it.

    Attributes:
        output: The last value of the chain.
        scale: What it was multiplied by, if anything.
        bias: What was added to it, if anything.
        dtype: Its dtype after a cast; None where it is that of the data.
    """

    output: ir.Value
    scale: ir.Value | None = None
    bias: ir.Value | None = None
    dtype: ir.DataType | None = None


@dataclass(frozen=True)
class Normalized:
    """Inputs and output of a normalization.

    Attributes:
        data: The input.
        scale: Of the shape of the axes that it runs along, if there is one.
        bias: Likewise.
        dims: That shape.
        output: The value that the normalization computes.
        spared: A cast of the input that may have other readers.
    """

    data: ir.Value
    scale: Parameter | None
    bias: Parameter | None
    dims: tuple[int, ...]
    output: ir.Value
    spared: tuple[ir.Value, ...]

    def scale_or_ones(self) -> Parameter:
        """Return the scale; where there is none, a new one that changes nothing."""
        return self._filled(1) if self.scale is None else self.scale

    def bias_or_zeros(self) -> Parameter:
        """Return the bias; where there is none, a new one that changes nothing."""
        return self._filled(0) if self.bias is None else self.bias

    def _filled(self, number: int) -> Parameter:
        assert self.data.dtype is not None
        return np.full(self.dims, number, self.data.dtype.numpy())


def absorbed(
    start: Affine,
    data: ir.Value,
    axes: tuple[int, ...],
    *,
    bias: bool,
    dtypes: frozenset[ir.DataType] = NARROW,
) -> Normalized:
    """Return the normalization together with as much of what follows as it can take.

    Args:
        start: The normalized value.
        data: What was normalized.
        axes: The axes along which scale and bias run, sorted and counted from 0.
        bias: Whether the operator has a bias.
        dtypes: In which dtypes the operator computes as exactly as the model does.

    Raises:
        Keep: If the dtype is another one, or the axes are not of static sizes.
    """
    if data.dtype not in dtypes:
        raise Keep(f"the operator would not compute {data.name!r} in its dtype, {data.dtype}")
    dims, count = static_dims(data, axes), rank(data) or 0
    for chain in reversed(list(_extended(start, bias))):
        source = _source(data, chain.dtype or data.dtype)
        if source is None or source.dtype is None:
            continue
        scale, shift = (
            _parameter(value, axes, dims, count, source.dtype)
            for value in (chain.scale, chain.bias)
        )
        if (scale is None and chain.scale) or (shift is None and chain.bias):
            continue
        spared = () if source is data else (data,)
        return Normalized(source, scale, shift, dims, chain.output, spared)
    raise Keep("its scale or bias does not run along the axes that the operator has them along")


def _extended(start: Affine, bias: bool) -> Iterator[Affine]:
    """Yield ``start`` and each longer chain: one Mul at most, then one Add at most, and casts."""
    chain: Affine | None = start
    while chain is not None:
        yield chain
        chain = _next(chain, bias)


def _next(chain: Affine, bias: bool) -> Affine | None:
    reader = only_reader(chain.output, "Mul", "Add", "Cast")
    if reader is None:
        return None
    output = reader.outputs[0]
    if reader.op_type == "Cast":
        dtype = ir.DataType(number_attribute(reader, "to", 0))
        return replace(chain, output=output, dtype=dtype) if dtype in NARROW else None
    other = other_operand(reader, chain.output)
    if other is None or other is chain.output or chain.bias is not None:
        return None
    if reader.op_type == "Add":
        return replace(chain, output=output, bias=other) if bias else None
    return None if chain.scale is not None else replace(chain, output=output, scale=other)


def _source(data: ir.Value, dtype: ir.DataType | None) -> ir.Value | None:
    """Return ``data``, or what it was cast from, whichever has the dtype."""
    if data.dtype == dtype:
        return data
    source = uncast(data)
    return source if source.dtype == dtype and dtype in NARROW else None


def _parameter(
    value: ir.Value | None,
    axes: tuple[int, ...],
    dims: tuple[int, ...],
    count: int,
    dtype: ir.DataType,
) -> Parameter | None:
    """Return a scale or bias in the shape ``dims``, or None where that cannot be."""
    shape = None if value is None else dims_of(value)
    if value is None or shape is None or len(shape) > count:
        return None
    broadcast = (*(1,) * (count - len(shape)), *shape)
    expected = [1] * count
    for axis, dim in zip(axes, dims, strict=True):
        expected[axis] = dim
    if list(broadcast) != expected:
        return None
    if shape == dims and value.dtype == dtype:
        return value
    tensor = constant_tensor(value)
    if tensor is None:
        return None
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        changed = array.astype(dtype.numpy())
    exact = np.array_equal(changed.astype(array.dtype), array)
    return changed.reshape(dims) if exact else None
