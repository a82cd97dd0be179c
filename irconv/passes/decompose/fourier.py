"""Discrete Fourier transforms as products with matrices of cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.flat_gather import wrapped
from irconv.passes.decompose.site import Site

__all__ = ["dft", "stft"]

_AXIS_IS_INPUT = 20
_MOST_ITEMS = 1 << 22


def dft(site: Site) -> ir.Value:
    """ONNX DFT (since 17): forward and inverse, real and complex, one-sided too.

    An axis that is computed is taken from the shapes; where they leave several axes, the result
    is selected among theirs.
    """
    data = site.input(0)
    axes = _axes(site)
    result = _along(site, data, axes[0])
    if len(axes) > 1:
        chosen = wrapped(site, site.op("Squeeze", site.input(2)), site.rank(data))
        for axis in axes[1:]:
            here = site.op("Equal", chosen, axis)
            result = site.op("Where", here, _along(site, data, axis), result)
    return result


def _axes(site: Site) -> list[int]:
    """Return the axes that the transform may be along."""
    data, given = site.input(0), site.maybe(2)
    rank = site.rank(data)
    if site.version < _AXIS_IS_INPUT:
        return [site.attribute("axis", 1) % rank]
    known = (-2,) if given is None else constant_ints(given)
    if known is not None:
        return [known[0] % rank]
    before, after = site.static(data), site.static(site.node.outputs[0])
    found = [
        axis
        for axis in range(rank - 1)
        if all(before[i] == after[i] for i in range(rank - 1) if i != axis)
        and after[axis] == _output_size(site, axis)
    ]
    if not found or (len(found) > 1 and before[:-1] != after[:-1]):
        raise Keep("its axis is computed, not constant")
    return found


def _length(site: Site, axis: int) -> int:
    """Return the length of the transform."""
    if site.maybe(1) is not None:
        known = constant_ints(site.input(1))
        if known is not None:
            return known[0]
        size = site.dims(site.node.outputs[0])[axis]
        onesided = bool(site.attribute("onesided", 0))
        if size is None or (onesided and not site.attribute("inverse", 0)):
            raise Keep("its length is computed, not constant")
        return size
    size = site.dims(site.input(0))[axis]
    if size is None:
        raise Keep("its input has a dynamic dim along its axis")
    half = site.attribute("onesided", 0) and site.attribute("inverse", 0)
    return 2 * (size - 1) if half else size


def _output_size(site: Site, axis: int) -> int:
    length = _length(site, axis)
    half = site.attribute("onesided", 0) and not site.attribute("inverse", 0)
    return length // 2 + 1 if half else length


def _along(site: Site, data: ir.Value, axis: int) -> ir.Value:
    rank = site.rank(data)
    length = _length(site, axis)
    inverse, onesided = bool(site.attribute("inverse", 0)), bool(site.attribute("onesided", 0))
    half = length // 2 + 1
    used = half if inverse and onesided else length
    order = [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]
    moved = _fitted(site, site.transpose(data, order), used)
    if inverse and onesided:
        result = _real_inverse(site, moved, length)
    else:
        result = transform(site, moved, length, half if onesided else length, inverse=inverse)
    back = [order.index(i) for i in range(rank)]
    return site.transpose(result, back)


def _fitted(site: Site, data: ir.Value, length: int) -> ir.Value:
    """Cut the last axis but one to a length, or fill it up with zeros."""
    rank = site.rank(data)
    size = site.dims(data)[rank - 2]
    if size is None:
        data = site.op("Pad", data, [0, length], site.scalar(0, site.dtype(data)), [rank - 2])
    elif size < length:
        pads = [0, length - size]
        return site.op("Pad", data, pads, site.scalar(0, site.dtype(data)), [rank - 2])
    if size == length:
        return data
    return site.op("Slice", data, [0], [length], [rank - 2])


def _waves(site: Site, data: ir.Value, rows: int, columns: int, length: int) -> Any:
    """Return cosines and sines of ``2 pi r c / length``, [rows, columns]."""
    if rows * columns > _MOST_ITEMS:
        raise Keep(f"its length {length} makes matrices of {rows * columns} items")
    turns = np.outer(np.arange(rows), np.arange(columns)) % length
    angles = turns * (2 * np.pi / length)
    quarters = 4 * turns % length == 0
    cosine, sine = (
        np.where(quarters, np.rint(wave), wave) for wave in (np.cos(angles), np.sin(angles))
    )
    dtype = site.dtype(data).numpy()
    return cosine.astype(dtype), sine.astype(dtype)


def _parts(site: Site, data: ir.Value) -> tuple[ir.Value, ir.Value | None]:
    """Return the real and the imaginary part, the last one if there is one."""
    last = site.dims(data)[-1]
    if last not in (1, 2):
        raise Keep("its input has neither one nor two parts")
    real, imaginary = (
        site.op("Gather", data, site.scalar(part, ir.DataType.INT64), axis=-1)
        if part < last
        else None
        for part in range(2)
    )
    assert real is not None
    return real, imaginary


def transform(site: Site, data: ir.Value, length: int, outputs: int, *, inverse: bool) -> ir.Value:
    """Return the complex transform along the last axis but one; the last one holds the parts.

    Args:
        site: Where nodes are added.
        data: Tensor [..., length, 1 or 2].
        length: Length of the transform.
        outputs: How many frequencies are computed.
        inverse: Whether it is the inverse transform, which divides by the length.
    """
    cosine, sine = _waves(site, data, length, outputs, length)
    if inverse:
        cosine, sine = cosine / length, -sine / length
    dtype = site.dtype(data).numpy()
    cosine, sine = cosine.astype(dtype), sine.astype(dtype)
    real, imaginary = _parts(site, data)
    first = site.op("MatMul", real, cosine)
    second = site.op("Neg", site.op("MatMul", real, sine))
    if imaginary is not None:
        first = site.op("Add", first, site.op("MatMul", imaginary, sine))
        second = site.op("Add", second, site.op("MatMul", imaginary, cosine))
    parts = [site.op("Unsqueeze", part, [-1]) for part in (first, second)]
    return site.op("Concat", *parts, axis=-1)


def _real_inverse(site: Site, data: ir.Value, length: int) -> ir.Value:
    """Return the real signal of a half spectrum, [..., length, 1]."""
    half = length // 2 + 1
    cosine, sine = _waves(site, data, half, length, length)
    weights = np.full((half, 1), 2.0)
    weights[0] = 1
    if length % 2 == 0:
        weights[-1] = 1
    scale: npt.NDArray[Any] = (weights / length).astype(cosine.dtype)
    real, imaginary = _parts(site, data)
    total = site.op("MatMul", real, cosine * scale)
    if imaginary is not None:
        total = site.op("Sub", total, site.op("MatMul", imaginary, sine * scale))
    return site.op("Unsqueeze", total, [-1])


def stft(site: Site) -> ir.Value:
    """ONNX STFT (since 17): gathered frames, times the window, transformed."""
    data, window = site.input(0), site.maybe(2)
    size = site.dims(data)[1]
    length = _frame_length(site)
    steps = constant_ints(site.input(1))
    frames = site.dims(site.node.outputs[0])[1]
    if steps is not None and size is not None:
        frames = 1 + (size - length) // steps[0]
    if frames is None:
        raise Keep("the number of its frames is not static")
    start: Any = np.arange(frames, dtype=np.int64)[:, None]
    inside = np.arange(length, dtype=np.int64)[None, :]
    if steps is not None:
        index = site.constant(start * steps[0] + inside)
    else:
        step = site.op("Squeeze", site.cast(site.input(1), ir.DataType.INT64))
        index = site.op("Add", site.op("Mul", site.constant(start), step), inside)
    framed = site.op("Gather", data, index, axis=1)
    if window is not None:
        framed = site.op("Mul", framed, site.op("Unsqueeze", window, [1]))
    outputs = length // 2 + 1 if site.attribute("onesided", 1) else length
    return transform(site, framed, length, outputs, inverse=False)


def _frame_length(site: Site) -> int:
    window = site.maybe(2)
    size: int | None
    if window is not None:
        size = site.dims(window)[0]
    elif site.maybe(3) is not None:
        size = site.constant_ints(3, "frame lengths")[0]
    else:
        size = site.dims(site.input(0))[1]
    if size is None:
        raise Keep("the length of its frames is not static")
    return size
