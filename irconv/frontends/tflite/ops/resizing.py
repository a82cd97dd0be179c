"""Operators that change the size of images, by interpolation or by moving pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite.ops.convolution import Blocks, Dilated
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("RESIZE_BILINEAR")
def resize_bilinear(site: Site) -> None:
    """RESIZE_BILINEAR: Resize."""
    _resize(site, "linear", None)


@converts("RESIZE_NEAREST_NEIGHBOR")
def resize_nearest_neighbor(site: Site) -> None:
    """RESIZE_NEAREST_NEIGHBOR: Resize; from corners halves go down, else up."""
    centered = site.option("align_corners") or site.option("half_pixel_centers")
    _resize(site, "nearest", "round_prefer_ceil" if centered else "floor")


def _resize(site: Site, mode: str, nearest: str | None) -> None:
    x, nodes = site.input(0), site.nodes
    if site.option("align_corners"):
        transformation = "align_corners"
    elif site.option("half_pixel_centers"):
        transformation = "half_pixel"
    else:
        transformation = "asymmetric"
    sizes, axes = site.ints(1), [2, 3]
    whole = sizes is not None and None not in (x.shape[0], x.shape[3])
    if whole:
        assert sizes is not None
        target = nodes.ints([x.shape[0] or 0, x.shape[3] or 0, *sizes])
    else:
        target = site.int64(1)
    value = nodes.op(
        "Resize",
        x.real(first=True),
        None,
        None,
        target,
        axes=None if whole else axes,
        mode=mode,
        coordinate_transformation_mode=transformation,
        nearest_mode=nearest,
    )
    site.write(value, first=True)


@converts("SPACE_TO_DEPTH")
def space_to_depth(site: Site) -> None:
    """SPACE_TO_DEPTH: SpaceToDepth."""
    x = site.input(0)
    raw = site.carries(x)
    block = int(site.option("block_size"))
    value = site.nodes.op("SpaceToDepth", x.read(raw=raw, first=True), blocksize=block)
    site.bind(value, raw=raw, first=True)


@converts("DEPTH_TO_SPACE")
def depth_to_space(site: Site) -> None:
    """DEPTH_TO_SPACE: DepthToSpace, depth first."""
    x = site.input(0)
    raw = site.carries(x)
    block = int(site.option("block_size"))
    value = site.nodes.op("DepthToSpace", x.read(raw=raw, first=True), blocksize=block, mode="DCR")
    site.bind(value, raw=raw, first=True)


@converts("SPACE_TO_BATCH_ND")
def space_to_batch_nd(site: Site) -> None:
    """SPACE_TO_BATCH_ND: Pad, and the blocks' places moved before the batch."""
    x, nodes = site.input(0), site.nodes
    block = site.fixed_ints(1, "its block")
    pads = np.reshape(site.fixed_ints(2, "its padding"), (-1, 2))
    count = len(block)
    if count == x.rank - 2:
        site.output().cache["blocks"] = Blocks(x, block, pads)
    sizes = [
        size + int(pad.sum())
        for size, pad in zip(_known(x.shape[1 : count + 1]), pads, strict=True)
    ]
    rest = _known(x.shape[count + 1 :])
    value = x.real()
    if pads.any():
        before = [0, *(int(pad[0]) for pad in pads), *(0 for _ in rest)]
        after = [0, *(int(pad[1]) for pad in pads), *(0 for _ in rest)]
        value = nodes.op("Pad", value, nodes.ints(before + after))
    parts = [part for size, b in zip(sizes, block, strict=True) for part in (size // b, b)]
    value = nodes.reshape(value, [x.shape[0] or -1, *parts, *rest])
    spatial = range(1, 2 * count + 1)
    order = [*spatial[1::2], 0, *spatial[0::2], *range(2 * count + 1, 2 * count + 1 + len(rest))]
    value = nodes.transpose(value, order)
    site.write(
        nodes.reshape(value, [-1, *(s // b for s, b in zip(sizes, block, strict=True)), *rest])
    )


@converts("BATCH_TO_SPACE_ND")
def batch_to_space_nd(site: Site) -> None:
    """BATCH_TO_SPACE_ND: the blocks' places moved behind the pixels', and Slice."""
    x, nodes = site.input(0), site.nodes
    block = site.fixed_ints(1, "its block")
    crops = np.reshape(site.fixed_ints(2, "its cropping"), (-1, 2))
    count = len(block)
    dilated: Dilated | None = x.cache.get("dilated")
    joined = dilated.joined(block, crops) if dilated is not None else None
    if joined is not None:
        site.write(joined, first=True)
        return
    sizes, rest = _known(x.shape[1 : count + 1]), _known(x.shape[count + 1 :])
    value = nodes.reshape(x.real(), [*block, -1, *sizes, *rest])
    order = [count]
    for axis in range(count):
        order += [count + 1 + axis, axis]
    order += range(2 * count + 1, 2 * count + 1 + len(rest))
    value = nodes.transpose(value, order)
    whole = [size * b for size, b in zip(sizes, block, strict=True)]
    value = nodes.reshape(value, [-1, *whole, *rest])
    if crops.any():
        starts = [int(crop[0]) for crop in crops]
        ends = [size - int(crop[1]) for size, crop in zip(whole, crops, strict=True)]
        value = nodes.slice(value, starts, ends, range(1, count + 1))
    site.write(value)


def _known(sizes: tuple[int | None, ...]) -> list[int]:
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        raise RefusalError(
            "the sizes of its images are computed at run time",
            "convert the model with static image sizes",
        )
    return known
