"""Lists of tensors."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.elementwise import CAST_DTYPES
from irconv_coreml.interpreter.registry import interprets
from irconv_coreml.interpreter.types import MilList

__all__: list[str] = []


@interprets("make_list")
def make_list(
    elem_shape: object = (),
    init_length: int = 1,
    dynamic_length: bool = True,
    dtype: str = "fp32",
) -> MilList:
    """A list of elements not written yet; a size that is a text is known at run time only."""
    sizes = elem_shape if isinstance(elem_shape, tuple) else tuple(np.atleast_1d(elem_shape))  # type: ignore[call-overload]
    shape = tuple(None if isinstance(size, str) else int(size) for size in sizes)
    empty = (None,) * int(init_length)
    return MilList(empty, bool(dynamic_length), np.dtype(CAST_DTYPES[dtype]), shape)


@interprets("list_length")
def list_length(ls: MilList) -> Array:
    """The number of elements."""
    return np.array(len(ls.elements), np.int32)


@interprets("list_read")
def list_read(ls: MilList, index: int) -> Array:
    """One element."""
    return _read(ls, int(index))


@interprets("list_gather")
def list_gather(ls: MilList, indices: Array) -> Array:
    """Some elements, stacked."""
    return np.stack([_read(ls, int(index)) for index in indices])


@interprets("list_write")
def list_write(ls: MilList, index: int, value: Array) -> MilList:
    """The list with one element replaced, or made longer."""
    return _write(ls, [(int(index), value)])


@interprets("list_scatter")
def list_scatter(ls: MilList, indices: Array, value: Array) -> MilList:
    """The list with some elements replaced by slices of ``value``."""
    return _write(ls, [(int(index), value[k]) for k, index in enumerate(indices)])


def _read(ls: MilList, index: int) -> Array:
    if not 0 <= index < len(ls.elements):
        raise IndexError(f"it reads element {index} of {len(ls.elements)}")
    element = ls.elements[index]
    if element is not None:
        return element
    sizes = [size for size in ls.shape if size is not None]
    if len(sizes) != len(ls.shape):
        raise IndexError(f"it reads element {index} before anything wrote it")
    return np.zeros(sizes, ls.dtype)


def _write(ls: MilList, changes: list[tuple[int, Array]]) -> MilList:
    elements = list(ls.elements)
    for index, value in changes:
        if value.dtype != ls.dtype:
            raise TypeError(f"it writes {value.dtype} into a list of {ls.dtype}")
        if index >= len(elements) and ls.dynamic_length:
            elements += [None] * (index + 1 - len(elements))
        if not 0 <= index < len(elements):
            raise IndexError(f"it writes element {index} of {len(elements)}")
        elements[index] = value
    return MilList(tuple(elements), ls.dynamic_length, ls.dtype, ls.shape)
