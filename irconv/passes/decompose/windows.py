"""Pooling windows: their pads and places, and sums over them as convolutions with ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site

__all__ = ["Windows", "read_windows", "window_sum", "window_table"]


@dataclass(frozen=True)
class Windows:
    """The windows of a pooling operator over static spatial dims.

    Attributes:
        sizes: Spatial dims of the input.
        kernel: Items of a window along each axis.
        strides: Steps between windows.
        dilations: Steps between items of a window.
        pads: Items in front of each axis, then behind each axis.
        counts: Windows along each axis.
    """

    sizes: Sequence[int]
    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]
    counts: Sequence[int]

    @property
    def ends(self) -> list[int]:
        """Items behind each axis that the last windows reach to, beyond the pads or not."""
        rank = len(self.sizes)
        return [
            (self.counts[i] - 1) * self.strides[i]
            + self.dilations[i] * (self.kernel[i] - 1)
            + 1
            - self.sizes[i]
            - self.pads[i]
            for i in range(rank)
        ]


def read_windows(site: Site) -> Windows:
    """Read the windows of ONNX MaxPool, AveragePool or LpPool (as of 22).

    With ``ceil_mode`` a kernel may be larger than the data and its pads; what no window reaches
    of them is cut off the kernel.
    """
    sizes = [size for size in site.dims(site.input(0))[2:] if size is not None]
    if len(sizes) != site.rank(site.input(0)) - 2:
        raise Keep("its input has a dynamic spatial dim")
    kernel = site.attribute("kernel_shape", [1])
    rank = len(kernel)
    strides = site.attribute("strides", [1] * rank)
    dilations = site.attribute("dilations", [1] * rank)
    pads = site.attribute("pads", [0] * 2 * rank)
    auto = site.attribute("auto_pad", "NOTSET")
    spans = [dilations[i] * (kernel[i] - 1) + 1 for i in range(rank)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        counts = [-(-sizes[i] // strides[i]) for i in range(rank)]
        needed = [max((counts[i] - 1) * strides[i] + spans[i] - sizes[i], 0) for i in range(rank)]
        small, large = [item // 2 for item in needed], [item - item // 2 for item in needed]
        pads = [*small, *large] if auto == "SAME_UPPER" else [*large, *small]
        return Windows(sizes, kernel, strides, dilations, pads, counts)
    if auto == "VALID":
        pads = [0] * 2 * rank
    counts = []
    for i in range(rank):
        free = sizes[i] + pads[i] + pads[rank + i] - spans[i]
        count = free // strides[i] + 1
        if site.attribute("ceil_mode", 0):
            count = -(-free // strides[i]) + 1
            if (count - 1) * strides[i] >= sizes[i] + pads[i]:
                count -= 1
        counts.append(count)
    if min(counts, default=1) < 1:
        raise Keep("no window fits into its input")
    kernel = [
        min(kernel[i], -(-(sizes[i] + pads[i] + pads[rank + i]) // dilations[i]))
        for i in range(rank)
    ]
    return Windows(sizes, kernel, strides, dilations, pads, counts)


def window_sum(site: Site, data: ir.Value, windows: Windows) -> ir.Value:
    """Return the sum over each window of [N, C, …]: a convolution of each channel with ones."""
    batch, channels = site.sizes(data)[:2]
    images = site.reshape(data, [site.product([batch, channels]), 1, *windows.sizes])
    ones = np.ones((1, 1, *windows.kernel), site.dtype(data).numpy())
    ends = windows.ends
    total = site.op(
        "Conv",
        images if all(end >= 0 for end in ends) else _cut(site, images, ends),
        ones,
        kernel_shape=list(windows.kernel),
        strides=list(windows.strides),
        dilations=list(windows.dilations),
        pads=[*windows.pads[: len(ends)], *(max(end, 0) for end in ends)],
    )
    return site.reshape(total, [batch, channels, *windows.counts])


def _cut(site: Site, images: ir.Value, ends: Sequence[int]) -> ir.Value:
    """Drop items behind the last window, which count as negative pads."""
    axes = [2 + axis for axis, end in enumerate(ends) if end < 0]
    return site.op("Slice", images, [0] * len(axes), [end for end in ends if end < 0], axes)


def window_table(windows: Windows) -> npt.NDArray[Any]:
    """Return the flat position of every item of every window, [windows, items]; -1 for a pad."""
    rank = len(windows.sizes)
    flat, inside = np.zeros((1,) * 2 * rank, np.int64), np.ones((1,) * 2 * rank, np.bool_)
    for axis, size in enumerate(windows.sizes):
        starts = np.arange(windows.counts[axis]) * windows.strides[axis] - windows.pads[axis]
        offsets = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        shape = [1] * 2 * rank
        shape[axis], shape[rank + axis] = len(starts), len(offsets)
        place = (starts[:, None] + offsets[None, :]).reshape(shape)
        flat = flat * size + place
        inside = inside & (place >= 0) & (place < size)
    return np.where(inside, flat, -1).reshape(math.prod(windows.counts), -1)
