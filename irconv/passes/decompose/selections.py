"""Operators that pick or place items by position."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.flat_gather import coordinates, take_elements
from irconv.passes.decompose.site import Site

__all__ = ["arg_of_last", "compress", "reverse_sequence", "scatter_elements", "tensor_scatter"]

_FAR = -(2**63)


def compress(site: Site) -> ir.Value:
    """ONNX Compress (since 11): Gather at the positions where the condition holds."""
    data = site.input(0)
    if site.optional("axis") is None:
        data, axis = site.reshape(data, [-1]), 0
    else:
        axis = site.axis()
    positions = site.op("Squeeze", site.op("NonZero", site.input(1)), [0])
    return site.op("Gather", data, positions, axis=axis)


def reverse_sequence(site: Site) -> ir.Value:
    """ONNX ReverseSequence (since 10): the first ``sequence_lens`` items of a row, reversed."""
    data = site.input(0)
    time, batch = site.attribute("time_axis", 0), site.attribute("batch_axis", 1)
    rank = site.rank(data)
    position = site.along(site.count(site.size(data, time)), time, rank)
    length = site.along(site.input(1), batch, rank)
    mirrored = site.op("Sub", site.op("Sub", length, 1), position)
    index = site.op("Where", site.op("Less", position, length), mirrored, position)
    return take_elements(site, data, site.expand(index, site.sizes(data)), time)


def scatter_elements(site: Site) -> ir.Value:
    """ONNX ScatterElements (since 18): ScatterND at the coordinates of every item."""
    data, index, updates = site.input(0), site.input(1), site.input(2)
    axis = site.axis(default=0)
    sizes = [*site.sizes(index), 1]
    parts = [
        site.expand(site.op("Unsqueeze", coordinate, [-1]), sizes)
        for coordinate, _ in coordinates(site, index, data, axis)
    ]
    places = site.op("Concat", *parts, axis=-1) if len(parts) > 1 else parts[0]
    return site.op("ScatterND", data, places, updates, reduction=site.optional("reduction"))


def tensor_scatter(site: Site) -> ir.Value:
    """ONNX TensorScatter (since 24): each position takes the update that falls on it, if any."""
    cache, update, starts = site.input(0), site.input(1), site.maybe(2)
    axis = site.axis(default=-2)
    rank = site.rank(cache)
    if axis == 0:
        raise Keep("its axis is the batch axis")
    size, length = site.size(cache, axis), site.size(update, axis)
    if length == 0:
        return cache
    position = site.along(site.count(size), axis, rank)
    if starts is not None:
        position = site.op("Sub", position, site.along(starts, 0, rank))
    if site.attribute("mode", "linear") == "circular":
        position = site.op("Mod", position, site.vector([size]))
    limit = site.vector([length])
    inside = site.op(
        "And",
        site.op("GreaterOrEqual", position, 0),
        site.op("Less", position, limit),
    )
    last = site.op("Sub", limit, 1)
    index = site.op("Max", site.op("Min", position, last), 0)
    rows = [*site.sizes(cache)]
    taken = take_elements(site, update, site.expand(index, rows), axis)
    return site.op("Where", inside, taken, cache)


def arg_of_last(site: Site) -> ir.Value:
    """ONNX ArgMax and ArgMin (since 13) with ``select_last_index``: the first of the reversed."""
    if not site.attribute("select_last_index", 0):
        raise Keep("it selects the first index, so there is nothing to do")
    data, axis = site.input(0), site.axis(default=0)
    flipped = site.op("Slice", data, [-1], [_FAR], [axis], [-1])
    keepdims = site.attribute("keepdims", 1)
    found = site.op(site.node.op_type, flipped, axis=axis, keepdims=keepdims)
    last = site.op("Squeeze", site.op("Sub", site.vector([site.size(data, axis)]), 1), [0])
    return site.op("Sub", last, found)
