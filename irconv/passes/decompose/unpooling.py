"""MaxUnpool and Col2Im: items put back to where a window took them from."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.constants import constant_ints
from irconv.passes.decompose.block import Dim, Keep
from irconv.passes.decompose.site import Site

__all__ = ["col2im", "max_unpool"]


def max_unpool(site: Site) -> ir.Value:
    """ONNX MaxUnpool (since 9): a scatter into zeros; a larger output shape pads at the end."""
    data, places = site.input(0), site.input(1)
    sizes = site.sizes(data)
    kernel = site.attribute("kernel_shape", [0])
    spatial = len(kernel)
    strides = site.attribute("strides", [1] * spatial)
    pads = site.attribute("pads", [0] * 2 * spatial)
    goal: list[Dim] = list(sizes[:2])
    for axis in range(spatial):
        size = sizes[2 + axis]
        if not isinstance(size, int):
            raise Keep("its input has a dynamic spatial dim")
        whole = (size - 1) * strides[axis] - pads[axis] - pads[spatial + axis] + kernel[axis]
        goal.append(whole)
    zeros = site.expand(site.scalar(0, site.dtype(data)), [site.product(goal)])
    index = site.op("Unsqueeze", site.reshape(places, [-1]), [-1])
    flat = site.op("ScatterND", zeros, index, site.reshape(data, [-1]))
    result = site.reshape(flat, goal)
    if site.maybe(2) is None:
        return result
    wanted = constant_ints(site.input(2)) or site.static(site.node.outputs[0])
    if not all(isinstance(size, int) for size in goal):
        raise Keep("it has an output shape, and a dynamic dim")
    ends = [want - size for want, size in zip(wanted, goal, strict=True) if isinstance(size, int)]
    return site.op("Pad", result, [*[0] * len(ends), *ends]) if any(ends) else result


def col2im(site: Site) -> ir.Value:
    """ONNX Col2Im (since 18): each pixel is the sum of the blocks' items that lie on it."""
    data = site.input(0)
    image = site.constant_ints(1, "image dims")
    block = site.constant_ints(2, "block dims")
    table = _sources(
        image,
        block,
        site.attribute("dilations", [1] * len(image)),
        site.attribute("pads", [0] * 2 * len(image)),
        site.attribute("strides", [1] * len(image)),
    )
    batch, channels, columns = site.sizes(data)
    items = int(np.prod(block))
    if not isinstance(channels, int) or not isinstance(columns, int):
        raise Keep("its blocks have a dynamic dim")
    flat = site.reshape(data, [batch, channels // items, items * columns])
    padded = site.op("Pad", flat, [0, 0, 0, 0, 0, 1])
    terms = site.op("Gather", padded, table, axis=2)
    total = site.op("ReduceSum", terms, [3], keepdims=0)
    return site.reshape(total, [batch, channels // items, *image])


def _sources(
    image: Sequence[int],
    block: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    strides: Sequence[int],
) -> npt.NDArray[Any]:
    """Return for each pixel the flat positions of its terms; unused ones point past the end."""
    rank = len(image)
    counts = [
        (image[i] + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i in range(rank)
    ]
    terms: dict[int, list[int]] = defaultdict(list)
    columns = int(np.prod(counts))
    for item, offset in enumerate(itertools.product(*map(range, block))):
        for column, start in enumerate(itertools.product(*map(range, counts))):
            place = [
                start[i] * strides[i] - pads[i] + offset[i] * dilations[i] for i in range(rank)
            ]
            if all(0 <= at < size for at, size in zip(place, image, strict=True)):
                pixel = int(np.ravel_multi_index(place, image))
                terms[pixel].append(item * columns + column)
    most = max(map(len, terms.values()), default=1)
    table = np.full((int(np.prod(image)), most), int(np.prod(block)) * columns, np.int64)
    for pixel, found in terms.items():
        table[pixel, : len(found)] = found
    return table
