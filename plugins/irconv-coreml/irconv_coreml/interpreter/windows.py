"""Sliding windows: padding, output sizes and the elements under each position of a kernel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from irconv.runtime.base import Array

__all__ = ["Windows", "make_windows"]


@dataclass(frozen=True)
class Windows:
    """Where a kernel stands on the spatial dimensions of an input.

    Attributes:
        kernel: Kernel sizes.
        strides: Steps between positions.
        dilations: Steps between elements of the kernel.
        pads: Elements added before and after each dimension.
        sizes: Sizes of the input.
        outputs: Number of positions.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    outputs: tuple[int, ...]

    def padded(self, x: Array, fill: float) -> Array:
        """Return ``x`` padded as far as the last window reaches."""
        widths = []
        for size, (before, after), kernel, stride, dilation, count in zip(
            self.sizes, self.pads, self.kernel, self.strides, self.dilations, self.outputs,
            strict=True,
        ):  # fmt: skip
            reach = (count - 1) * stride + (kernel - 1) * dilation + 1
            widths.append((before, max(after, reach - size - before)))
        if not any(itertools.chain.from_iterable(widths)):
            return x
        return np.pad(x, [(0, 0), (0, 0), *widths], constant_values=fill)

    def views(self, padded: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Yield each element of the kernel and what lies under it at every position."""
        for element in np.ndindex(*self.kernel):
            spans = tuple(
                slice(k * dilation, k * dilation + (count - 1) * stride + 1, stride)
                for k, dilation, count, stride in zip(
                    element, self.dilations, self.outputs, self.strides, strict=True
                )
            )
            yield element, padded[(slice(None), slice(None), *spans)]


def make_windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Array | None,
    dilations: Array | None,
    pad_type: str,
    pad: Array | None,
    *,
    ceil_mode: bool = False,
) -> Windows:
    """Return the windows that MIL's parameters describe.

    Raises:
        ValueError: If the parameters contradict each other, or nothing fits.
    """
    rank = len(sizes)
    steps = _sizes(strides, rank)
    gaps = _sizes(dilations, rank)
    extents = [(k - 1) * gap + 1 for k, gap in zip(kernel, gaps, strict=True)]
    pads = _pads(sizes, extents, steps, pad_type, pad)
    outputs = []
    for size, extent, stride, (before, after) in zip(sizes, extents, steps, pads, strict=True):
        free = size + before + after - extent
        count = (free + (stride - 1 if ceil_mode else 0)) // stride + 1
        if ceil_mode and before + after > 0 and (count - 1) * stride >= size + before:
            count -= 1
        if count < 1:
            raise ValueError(f"a kernel of {extent} does not fit in {size} elements")
        outputs.append(count)
    return Windows(tuple(kernel), steps, gaps, pads, tuple(sizes), tuple(outputs))


def _sizes(values: Array | None, rank: int) -> tuple[int, ...]:
    if values is None:
        return (1,) * rank
    if len(values) != rank:
        raise ValueError(f"it has {len(values)} strides or dilations for {rank} dimensions")
    return tuple(int(value) for value in values)


def _pads(
    sizes: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    pad_type: str,
    pad: Array | None,
) -> tuple[tuple[int, int], ...]:
    if pad_type == "valid":
        return ((0, 0),) * len(sizes)
    if pad_type == "custom":
        if pad is None or len(pad) != 2 * len(sizes):
            raise ValueError("pad_type is custom, and pad has not two values a dimension")
        return tuple((int(a), int(b)) for a, b in pad.reshape(-1, 2))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"MIL has no pad_type {pad_type!r}")
    pads = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + extent - size)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if pad_type == "same" else (more, less))
    return tuple(pads)
