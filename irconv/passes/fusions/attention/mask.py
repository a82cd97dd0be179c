"""Masks of attention in the form that every runtime reads alike.

ONNX lets the mask of Attention be anything that broadcasts to (batch, heads, S, T). ONNX Runtime
wants S and T in full, and takes the lowest number of the dtype for -inf: it gives zeros for a row
in which no key is left, where a softmax of equal numbers gives the mean of all values. So the
last two dims are expanded, and the lowest number becomes the one next to it; at that size a
softmax cannot tell them apart.

A row of -inf alone has no softmax (its sum is 0). Attention gives zeros there, as torch does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.symbolic.dims import Dims
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.attention.causal import is_causal
from irconv.passes.fusions.attention.scores import Scores, Term
from irconv.passes.fusions.fused import Item, Made
from irconv.passes.fusions.pattern import made_by, operand, scalar

__all__ = ["Extent", "Mask", "mask_of"]

_LAYOUT = ("Transpose", "Unsqueeze", "Squeeze", "Reshape", "Expand", "Slice", "Gather", "Identity")
_MAX_DEPTH = 12


@dataclass(frozen=True)
class Extent:
    """The dims of scores, and how the last two are computed where they are no numbers.

    Attributes:
        dims: (batch, heads, S, T).
        items: Of axis 2 and 3: int64 tensors of one element.
    """

    dims: Dims
    items: Mapping[int, Item]


@dataclass(frozen=True)
class Mask:
    """What Attention is told about masks.

    Attributes:
        item: Its fourth input.
        causal: Whether the upper triangle is masked (``is_causal``).
        terms: The values that the mask is made of.
    """

    item: Item
    causal: bool
    terms: Sequence[ir.Value]


def mask_of(
    scores: Scores, extent: Extent, sizes: Sizes, dtype: ir.DataType, *, guarded: bool
) -> Mask:
    """Return the mask of some scores.

    Args:
        scores: The scores.
        extent: What the mask covers.
        sizes: The sizes in the model.
        dtype: Dtype of queries.
        guarded: Whether rows of NaN become zeros.

    Raises:
        Keep: If a mask is of another dtype, or may widen the scores.
    """
    square = extent.dims[2] == extent.dims[3]
    values = [term.value for term in scores.terms]
    causal = [term for term in scores.terms if square and is_causal(term, sizes)]
    rest = [term for term in scores.terms if term not in causal[:1]]
    parts = [
        _part(term, sizes, dtype, extent, only=len(rest) == 1, guarded=guarded) for term in rest
    ]
    if not parts:
        return Mask(None, bool(causal), values)
    item, dims = parts[0]
    for other, more in parts[1:]:
        item = Made("Add", [item, other], dtype=dtype)
        dims = _joined(dims, more)
    return Mask(_full(item, dims, extent), bool(causal), values)


def _joined(first: Dims, second: Dims) -> Dims:
    count = max(len(first), len(second))
    pairs = zip(
        (1,) * (count - len(first)) + first, (1,) * (count - len(second)) + second, strict=True
    )
    return tuple(other if one == 1 else one for one, other in pairs)


def _part(
    term: Term, sizes: Sizes, dtype: ir.DataType, extent: Extent, *, only: bool, guarded: bool
) -> tuple[Item, Dims]:
    """Return one mask, not yet expanded, and its dims; ``only`` if there is no other."""
    value = term.value
    item, dims = _aligned(value, term, sizes, extent)
    if term.fill is not None:
        if only and term.fill == -np.inf and not term.where:
            return item, dims
        low, zero = np.asarray(_above(term.fill, dtype)), np.zeros((), dtype.numpy())
        choices = [low, zero] if term.where else [zero, low]
        return Made("Where", [item, *choices], dtype=dtype), dims
    if sizes.dtype(value) != dtype:
        raise Keep(f"the mask {value.name!r} is {sizes.dtype(value)} and the query {dtype}")
    condition = _condition(value)
    if only and condition is not None and item is value and sizes.dims(condition) == dims:
        return condition, dims
    return _without_lowest(item, value, dtype, guarded=guarded), dims


def _aligned(value: ir.Value, term: Term, sizes: Sizes, extent: Extent) -> tuple[Item, Dims]:
    """Return a mask of at most 4 dims that broadcasts against the scores, with its dims."""
    dims = sizes.dims(value)
    if dims is None or term.dims is None:
        raise Keep(f"the rank of the mask {value.name!r} is unknown; run infer-shapes first")
    item: Item = value
    seen = tuple(term.dims)
    if len(seen) == 3 and seen != extent.dims[1:] and len(dims) == 3 and dims[0] != 1:
        if extent.dims[1] != 1:
            raise Keep(f"the mask {value.name!r} is added while batch and heads are one dim")
        item, dims = _with_axis(value, 1, dims), (dims[0], 1, *dims[1:])
    if len(seen) == 5:
        if seen[0] != 1 or (len(dims) == 5 and dims[0] != 1):
            raise Keep(f"the mask {value.name!r} is added to scores of rank 5")
        if len(dims) == 5:
            item, dims = _without_first(value), dims[1:]
    for axis in range(max(0, 4 - len(dims)), 2):
        dim, whole = dims[axis - 4], extent.dims[axis]
        if dim not in (1, whole):
            what = ("batch", "number of heads")[axis]
            raise Keep(
                f"the mask {value.name!r} is not known to have 1 or the {what} of the query "
                f"at dim {axis - 4}"
            )
    return item, dims


def _with_axis(value: ir.Value, axis: int, dims: Dims) -> Item:
    tensor = constant_tensor(value)
    if tensor is not None:
        return np.expand_dims(tensor.numpy(), axis)
    del dims
    return Made("Unsqueeze", [value, np.array([axis], np.int64)], dtype=value.dtype)


def _without_first(value: ir.Value) -> Item:
    tensor = constant_tensor(value)
    if tensor is not None:
        return np.asarray(tensor.numpy()[0])
    return Made("Squeeze", [value, np.array([0], np.int64)], dtype=value.dtype)


def _condition(value: ir.Value) -> ir.Value | None:
    """Return b where a mask is Where(b, 0, -inf)."""
    node = made_by(value, "Where")
    if node is None or scalar(operand(node, 1)) != 0 or scalar(operand(node, 2)) != -np.inf:
        return None
    return operand(node, 0)


def _above(number: float, dtype: ir.DataType) -> npt.NDArray[np.generic]:
    """Return a number in a dtype; the one above the lowest for the lowest and what is below it."""
    numpy = dtype.numpy()
    if numpy.kind != "f":
        return np.asarray(number).astype(numpy)
    lowest = np.finfo(numpy).min
    if np.isneginf(number) or number > lowest:
        return np.asarray(number, numpy)
    return np.asarray(np.nextafter(lowest, numpy.type(0)), numpy)


def _without_lowest(item: Item, value: ir.Value, dtype: ir.DataType, *, guarded: bool) -> Item:
    """Return a mask in which the lowest number does not occur."""
    numpy = dtype.numpy()
    if numpy.kind != "f" or _is_moderate(value, np.finfo(numpy).min, _MAX_DEPTH):
        return item
    lowest, above = np.finfo(numpy).min, _above(-np.finfo(np.float64).max, dtype)
    array = item if isinstance(item, np.ndarray) else _array(item)
    if array is not None:
        return np.where(array == lowest, above, array)
    node = made_by(value, "Where") if item is value else None
    if node is not None:
        parts = [
            above if scalar(part) == lowest else part
            for part in (operand(node, 1), operand(node, 2))
        ]
        if all(isinstance(part, np.ndarray) or _is_moderate(part, lowest, 2) for part in parts):
            return Made("Where", [operand(node, 0), *parts], dtype=dtype)
    if not guarded:
        return Made("Max", [item, above], dtype=dtype)
    is_lowest = Made("Equal", [item, np.asarray(lowest, numpy)], dtype=ir.DataType.BOOL)
    return Made("Where", [is_lowest, above, item], dtype=dtype)


def _array(item: Item) -> npt.NDArray[np.generic] | None:
    tensor = constant_tensor(item) if isinstance(item, ir.Value) else None
    return None if tensor is None else tensor.numpy()


def _is_moderate(value: object, lowest: float, depth: int) -> bool:
    """Return whether a value is known not to hold the lowest number."""
    if not isinstance(value, ir.Value) or depth == 0:
        return False
    tensor = constant_tensor(value)
    if tensor is not None:
        return not bool(np.any(tensor.numpy() == lowest))
    node = value.producer()
    if node is None or node.domain != "":
        return False
    if node.op_type in _LAYOUT:
        return _is_moderate(operand(node, 0), lowest, depth - 1)
    if node.op_type in ("Add", "Where"):
        parts = node.inputs[-2:]
        return all(_is_moderate(part, lowest, depth - 1) for part in parts)
    return False


def _full(item: Item, dims: Dims, extent: Extent) -> Item:
    """Expand the last two dims of a mask."""
    wanted = extent.dims[2:]
    if len(dims) >= 2 and dims[-2:] == wanted:
        return item
    array = item if isinstance(item, np.ndarray) else _array(item)
    numbers = [dim for dim in wanted if isinstance(dim, int)]
    if array is not None and len(numbers) == len(wanted):
        return np.broadcast_to(array, np.broadcast_shapes(array.shape, (1, *numbers)[-2:])).copy()
    missing = (1,) * (2 - len(dims)) + dims[-2:]
    parts: list[int | Item] = [
        1 if dim == whole else whole if isinstance(whole, int) else extent.items[axis]
        for dim, whole, axis in zip(missing, wanted, (2, 3), strict=True)
    ]
    front = [1] * max(0, len(dims) - 2)
    dtype = item.dtype if isinstance(item, (ir.Value, Made)) else None
    return Made("Expand", [item, _target([*front, *parts])], dtype=dtype)


def _target(parts: Sequence[int | Item]) -> Item:
    if all(isinstance(part, int) for part in parts):
        return np.array(parts, np.int64)
    pieces: list[Item] = [
        np.array([part], np.int64) if isinstance(part, int) else part for part in parts
    ]
    return Made("Concat", pieces, {"axis": 0}, ir.DataType.INT64)
