"""Slices, padding and cropping."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []

_MODES = {"reflect": "reflect", "replicate": "edge"}


@interprets("slice_by_index")
def slice_by_index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """NumPy's slices, with masks for bounds left out and for plain indices."""
    spans = _spans(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    return np.asarray(x[spans])


def _spans(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None,
    begin_mask: Array | None,
    end_mask: Array | None,
    squeeze_mask: Array | None,
) -> tuple[slice | int, ...]:
    if len(begin) != x.ndim or len(end) != x.ndim:
        raise ValueError(f"it has {len(begin)} bounds for rank {x.ndim}")
    none = np.zeros(x.ndim, bool)
    steps = np.ones(x.ndim, int) if stride is None else stride
    spans: list[slice | int] = []
    for axis in range(x.ndim):
        if (none if squeeze_mask is None else squeeze_mask)[axis]:
            spans.append(int(begin[axis]))
            continue
        first = None if (none if begin_mask is None else begin_mask)[axis] else int(begin[axis])
        last = None if (none if end_mask is None else end_mask)[axis] else int(end[axis])
        spans.append(slice(first, last, int(steps[axis])))
    return tuple(spans)


@interprets("slice_by_size")
def slice_by_size(x: Array, begin: Array, size: Array) -> Array:
    """``size`` elements from ``begin`` on; -1 is all that follow."""
    spans = []
    for length, first, count in zip(x.shape, begin, size, strict=True):
        start = int(first) % length if first < 0 else int(first)
        stop = length if count == -1 else start + int(count)
        if not 0 <= start <= stop <= length:
            raise IndexError(f"{int(count)} elements from {start} on are not in {length}")
        spans.append(slice(start, stop))
    return np.asarray(x[tuple(spans)])


@interprets("slice_update", since=8)
def slice_update(
    x: Array,
    update: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """``x`` with a slice replaced; the slice is named as in ``slice_by_index``."""
    result = x.copy()
    spans = _spans(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    if np.shape(result[spans]) != update.shape:
        raise ValueError(f"an update of {update.shape} does not fill {np.shape(result[spans])}")
    result[spans] = update
    return result


@interprets("pad")
def pad(x: Array, pad: Array, mode: str = "constant", constant_val: Array | float = 0.0) -> Array:
    """Pad the last dimensions, two values each."""
    amounts = [(int(a), int(b)) for a, b in np.asarray(pad).reshape(-1, 2)]
    if any(value < 0 for pair in amounts for value in pair):
        raise ValueError(f"it pads by {amounts}")
    widths = [(0, 0)] * (x.ndim - len(amounts)) + amounts
    if mode == "constant":
        fill = np.asarray(constant_val).astype(x.dtype)
        return np.pad(x, widths, constant_values=fill)
    if mode not in _MODES:
        raise ValueError(f"MIL has no mode {mode!r}")
    if mode == "reflect" and any(
        max(pair) >= size for pair, size in zip(widths, x.shape, strict=True) if any(pair)
    ):
        raise ValueError(f"it reflects by {amounts}, more than {x.shape} have")
    return np.pad(x, widths, mode=_MODES[mode])  # type: ignore[call-overload,no-any-return]


@interprets("crop")
def crop(x: Array, crop_height: Array, crop_width: Array) -> Array:
    """Cut rows and columns off."""
    top, bottom = (int(value) for value in crop_height)
    left, right = (int(value) for value in crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
