"""Convolutions, on one to three spatial dimensions."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets
from irconv_coreml.interpreter.windows import make_windows

__all__: list[str] = []


@interprets("conv", wide=True)
def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: int = 1,
) -> Array:
    """Sum over the kernel's elements of one matrix product a group."""
    groups = int(groups)
    batch, channels = x.shape[:2]
    outputs, inputs_per_group = weight.shape[:2]
    if channels != inputs_per_group * groups or outputs % groups:
        raise ValueError(
            f"{groups} groups of {inputs_per_group} channels do not make {channels} channels"
        )
    windows = make_windows(x.shape[2:], weight.shape[2:], strides, dilations, pad_type, pad)
    padded = windows.padded(x, 0)
    positions = int(np.prod(windows.outputs))
    total = np.zeros((batch, groups, outputs // groups, positions), np.float32)
    grouped = np.moveaxis(
        weight.reshape(groups, outputs // groups, inputs_per_group, *weight.shape[2:]),
        (0, 1, 2),
        (-3, -2, -1),
    )
    for element, view in windows.views(padded):
        part = view.reshape(batch, groups, inputs_per_group, positions)
        factors = np.ascontiguousarray(grouped[element])
        total += factors * part if inputs_per_group == 1 else factors @ part
    result = total.reshape(batch, outputs, *windows.outputs)
    return result if bias is None else result + _along_channels(bias, outputs, result.ndim)


@interprets("conv_transpose", wide=True)
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Array | None = None,
    output_shape: Array | None = None,
    pad_type: str = "valid",
    strides: Array | None = None,
    dilations: Array | None = None,
    groups: int = 1,
) -> Array:
    """Spread each input element over the output by the kernel, then cut the padding off."""
    groups = int(groups)
    rank = x.ndim - 2
    batch, channels = x.shape[:2]
    if channels != weight.shape[0] or channels % groups:
        raise ValueError(f"{channels} channels do not fit the weights {weight.shape}")
    outputs = weight.shape[1] * groups
    steps = [1] * rank if strides is None else [int(s) for s in strides]
    gaps = [1] * rank if dilations is None else [int(d) for d in dilations]
    kernel = weight.shape[2:]
    full = [
        (size - 1) * step + (k - 1) * gap + 1
        for size, step, k, gap in zip(x.shape[2:], steps, kernel, gaps, strict=True)
    ]
    source = x.reshape(batch, groups, channels // groups, -1)
    factors = weight.reshape(groups, channels // groups, weight.shape[1], *kernel)
    total = np.zeros((batch, outputs, *full), np.float32)
    for element in np.ndindex(*kernel):
        part = np.swapaxes(factors[np.s_[:, :, :, *element]], 1, 2) @ source
        spans = tuple(
            slice(k * gap, k * gap + (size - 1) * step + 1, step)
            for k, gap, size, step in zip(element, gaps, x.shape[2:], steps, strict=True)
        )
        total[(slice(None), slice(None), *spans)] += part.reshape(batch, outputs, *x.shape[2:])
    begins, sizes = _cut(x, full, steps, pad_type, pad, output_shape)
    shortage = [max(0, b + n - f) for b, n, f in zip(begins, sizes, full, strict=True)]
    if any(shortage):
        total = np.pad(total, [(0, 0), (0, 0), *((0, s) for s in shortage)])
    spans = tuple(slice(b, b + n) for b, n in zip(begins, sizes, strict=True))
    result = total[(slice(None), slice(None), *spans)]
    return result if bias is None else result + _along_channels(bias, outputs, result.ndim)


def _cut(
    x: Array,
    full: list[int],
    steps: list[int],
    pad_type: str,
    pad: Array | None,
    output_shape: Array | None,
) -> tuple[list[int], list[int]]:
    """Return where the result begins in the full output, and its sizes."""
    rank = len(full)
    if pad_type == "valid":
        begins, sizes = [0] * rank, list(full)
    elif pad_type == "custom":
        if pad is None or len(pad) != 2 * rank:
            raise ValueError("pad_type is custom, and pad has not two values a dimension")
        begins = [int(value) for value in pad[::2]]
        ends = [int(value) for value in pad[1::2]]
        sizes = [f - b - e for f, b, e in zip(full, begins, ends, strict=True)]
    elif pad_type == "same":
        sizes = [size * step for size, step in zip(x.shape[2:], steps, strict=True)]
        begins = [max(0, f - n) // 2 for f, n in zip(full, sizes, strict=True)]
    else:
        raise ValueError(f"MIL has no pad_type {pad_type!r}")
    if output_shape is not None:
        if len(output_shape) != rank + 2:
            raise ValueError(f"output_shape has {len(output_shape)} sizes for rank {rank + 2}")
        sizes = [int(size) for size in output_shape[2:]]
        if pad_type == "same":
            begins = [max(0, f - n) // 2 for f, n in zip(full, sizes, strict=True)]
    return begins, sizes


def _along_channels(bias: Array, channels: int, rank: int) -> Array:
    if bias.shape != (channels,):
        raise ValueError(f"the bias has shape {bias.shape} for {channels} channels")
    return bias.reshape(-1, *[1] * (rank - 2))
