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
    int_attribute,
    only_reader,
    other_operand,
    rank,
    static_dims,
    uncast,
)

__all__ = ["Affine", "Normalized", "Parameter", "absorbed"]

Parameter = ir.Value | npt.NDArray[Any]
"""A scale or bias: a value as it is, or a new constant."""
_DTYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


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
    """Inputs and output of a normalization over the last axes.

    Attributes:
        data: The input.
        axis: The first axis, counted from the end.
        scale: Of the shape of the last axes.
        bias: Likewise, if there is one.
        output: The value that it computes.
        spared: A cast of the input that may have other readers.
    """

    data: ir.Value
    axis: int
    scale: Parameter
    bias: Parameter | None
    output: ir.Value
    spared: tuple[ir.Value, ...]


def absorbed(start: Affine, data: ir.Value, axes: tuple[int, ...], *, bias: bool) -> Normalized:
    """Return the normalization together with as much of what follows as it can take.

    Args:
        start: The normalized value.
        data: What was normalized.
        axes: Over which axes, sorted and counted from 0.
        bias: Whether the operator has a bias.

    Raises:
        Keep: If the axes are not the last ones, not of static sizes, or the dtype is wide.
    """
    count = rank(data)
    if count is None or axes != tuple(range(count - len(axes), count)):
        raise Keep(f"the axes {list(axes)} are not the last ones of rank {count}")
    if data.dtype not in _DTYPES:
        raise Keep(f"the operator computes in float32, and {data.name!r} is {data.dtype}")
    dims = static_dims(data, axes)
    for chain in reversed(list(_extended(start, bias))):
        source = _source(data, chain.dtype or data.dtype)
        if source is None or source.dtype is None:
            continue
        scale = _parameter(chain.scale, dims, count, source.dtype)
        shift = _parameter(chain.bias, dims, count, source.dtype)
        if (scale is None and chain.scale) or (shift is None and chain.bias):
            continue
        if scale is None:
            scale = np.ones(dims, source.dtype.numpy())
        spared = () if source is data else (data,)
        return Normalized(source, -len(axes), scale, shift, chain.output, spared)
    raise Keep("its scale is not of the shape of the normalized axes")


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
        dtype = ir.DataType(int_attribute(reader, "to", 0))
        return replace(chain, output=output, dtype=dtype) if dtype in _DTYPES else None
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
    return source if source.dtype == dtype and dtype in _DTYPES else None


def _parameter(
    value: ir.Value | None, dims: tuple[int, ...], count: int, dtype: ir.DataType
) -> Parameter | None:
    """Return a scale or bias in its shape and dtype, or None where that cannot be."""
    shape = None if value is None else dims_of(value)
    if value is None or shape is None or len(shape) > count:
        return None
    front = len(shape) - len(dims)
    if front < 0 or shape[front:] != dims or any(dim != 1 for dim in shape[:front]):
        return None
    if front == 0 and value.dtype == dtype:
        return value
    tensor = constant_tensor(value)
    if tensor is None:
        return None
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        changed = array.astype(dtype.numpy())
    exact = np.array_equal(changed.astype(array.dtype), array)
    return changed.reshape(dims) if exact else None
