"""Writing elements by index; indices as in :mod:`.gathering`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.gathering import checked_indices
from irconv_coreml.interpreter.registry import interprets

if TYPE_CHECKING:
    from irconv_coreml.interpreter.execute import Context

__all__: list[str] = []

_ACCUMULATE: dict[str, Callable[[Any, Any, Any], None]] = {
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _write(data: Array, places: tuple[Any, ...], updates: Array, mode: str) -> Array:
    if data.dtype != updates.dtype:
        raise TypeError(f"data is {data.dtype} and updates are {updates.dtype}")
    result = data.copy()
    if mode == "update":
        result[places] = updates
    elif mode in _ACCUMULATE:
        _ACCUMULATE[mode](result, places, updates)
    else:
        raise ValueError(f"MIL has no mode {mode!r}")
    return result


@interprets("scatter", wide=True)
def scatter(
    data: Array,
    indices: Array,
    updates: Array,
    mode: str,
    context: Context,
    axis: int = 0,
    validate_indices: bool = False,
) -> Array:
    """Write whole slices along ``axis``.

    MIL's text and its code disagree about the default mode, so a program must state it.
    """
    del validate_indices
    place = int(axis) % data.ndim
    found = checked_indices(indices, data.shape[place], context.opset)
    expected = (*data.shape[:place], *indices.shape, *data.shape[place + 1 :])
    if updates.shape != expected:
        raise ValueError(f"updates have {updates.shape}, and {expected} are written")
    return _write(data, (*(slice(None),) * place, found), updates, mode)


@interprets("scatter_along_axis", wide=True)
def scatter_along_axis(
    data: Array,
    indices: Array,
    updates: Array,
    mode: str,
    context: Context,
    axis: int = 0,
    validate_indices: bool = False,
) -> Array:
    """Write one element for each index, at its own place in the other dimensions."""
    del validate_indices
    place = int(axis) % data.ndim
    if indices.shape != updates.shape:
        raise ValueError(f"indices of {indices.shape} do not go with {updates.shape}")
    found = checked_indices(indices, data.shape[place], context.opset)
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[place] = found
    return _write(data, tuple(places), updates, mode)


@interprets("scatter_nd", wide=True)
def scatter_nd(
    data: Array,
    indices: Array,
    updates: Array,
    mode: str,
    context: Context,
    validate_indices: bool = False,
) -> Array:
    """Write the slices that the last dimension of ``indices`` points at."""
    del validate_indices
    depth = indices.shape[-1]
    expected = (*indices.shape[:-1], *data.shape[depth:])
    if updates.shape != expected:
        raise ValueError(f"updates have {updates.shape}, and {expected} are written")
    places = tuple(
        checked_indices(indices[..., k], data.shape[k], context.opset) for k in range(depth)
    )
    return _write(data, places, updates, mode)
