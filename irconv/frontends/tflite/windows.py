"""Where windows over images lie: TFLite's SAME and VALID as ONNX's pads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irconv.frontends.tflite.site import Site

__all__ = ["is_same", "same_pads", "window_attributes"]

_SAME = 0


def is_same(site: Site) -> bool:
    """Whether an operator pads its input, so that only strides make its output smaller."""
    return bool(site.option("padding") == _SAME)


def window_attributes(
    site: Site, sizes: Sequence[int | None], kernel: Sequence[int]
) -> dict[str, Any]:
    """Return kernel, strides, dilations and padding of a convolution or pooling.

    Args:
        site: The operator.
        sizes: Spatial sizes of the input, None for dynamic ones.
        kernel: Spatial sizes of the kernel.
    """
    strides = spatial(site, "stride_{}", len(kernel))
    dilations = spatial(site, "dilation_{}factor", len(kernel))
    attributes: dict[str, Any] = {"kernel_shape": list(kernel)}
    if set(strides) != {1}:
        attributes["strides"] = strides
    if set(dilations) != {1}:
        attributes["dilations"] = dilations
    if is_same(site):
        if None in sizes:
            return attributes | {"auto_pad": "SAME_UPPER"}
        known = [size for size in sizes if size is not None]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = same_pads(known, reach, strides)
        if any(pads):
            attributes["pads"] = pads
    return attributes


def spatial(site: Site, name: str, count: int) -> list[int]:
    """Return an option for each spatial dimension, at least 1."""
    letters = "dhw"[-count:]
    return [max(int(site.option(name.format(letter), 1)), 1) for letter in letters]


def same_pads(sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return what SAME adds before and after each dimension, the odd one after.

    Args:
        sizes: Sizes of the input.
        reach: Sizes of the kernel with its dilation.
        strides: Strides.
    """
    totals = [
        max((-(-size // stride) - 1) * stride + window - size, 0)
        for size, window, stride in zip(sizes, reach, strides, strict=True)
    ]
    before = [total // 2 for total in totals]
    return before + [total - half for total, half in zip(totals, before, strict=True)]
