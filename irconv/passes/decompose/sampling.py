"""Reading a tensor at positions that are computed: weighted sums of flat gathers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Dim
from irconv.passes.decompose.expression import (
    Expr,
    Number,
    between,
    both,
    clip,
    number_of,
    value_of,
)
from irconv.passes.decompose.interpolation import Tap

__all__ = ["channel_rows", "first_rows", "sample"]


def channel_rows(block: Block, data: ir.Value) -> ir.Value:
    """Return a tensor [N, C, D1, …] as [N * D1 * …, C]: the channels at each place."""
    rank = block.rank(data)
    last = block.transpose(data, [0, *range(2, rank), 1])
    sizes = block.sizes(last)
    return block.reshape(last, [block.product(sizes[:-1]), sizes[-1]])


def first_rows(block: Block, count: Dim, places: Sequence[Dim], rank: int) -> ir.Value:
    """Return the first row of each of ``count`` images as int64, along axis 0 of ``rank``."""
    number = block.along(block.count(count), 0, rank)
    return block.op("Mul", number, block.vector([block.product(places)]))


def sample(
    block: Block,
    rows: ir.Value,
    first: ir.Value,
    taps: Sequence[Sequence[Tap]],
    sizes: Sequence[Dim],
    place: Callable[[Number, int], Number],
    *,
    zeros: bool,
) -> list[ir.Value]:
    """Return the weighted rows of every combination of taps; they are still to be reduced.

    Args:
        block: Where nodes are added.
        rows: Tensor [rows, C].
        first: The first row of the image that an output reads, int64.
        taps: For each axis of the image, the terms along it; they broadcast.
        sizes: Size of each axis of the image.
        place: Brings a position outside of an axis back into it, as far as clipping does not.
        zeros: Whether what lies outside counts as zero instead.
    """
    lasts = [number_of(block, size) - 1.0 for size in sizes]
    choices: list[list[_Choice]] = []
    for axis, (terms, last) in enumerate(zip(taps, lasts, strict=True)):
        choices.append([])
        for tap in terms:
            kept = clip(place(tap.position, axis), 0.0, last)
            index = value_of(block, kept, ir.DataType.INT64)
            inside = between(tap.position, 0.0, last) if zeros else None
            choices[-1].append(_Choice(index, tap.weight, inside))
    strides = [block.vector([block.product(sizes[axis + 1 :])]) for axis in range(len(sizes))]
    return [
        _term(block, rows, first, combination, strides)
        for combination in itertools.product(*choices)
    ]


@dataclass(frozen=True)
class _Choice:
    """A tap whose position is now an index."""

    index: ir.Value
    weight: Number
    inside: Number | None


def _term(
    block: Block,
    rows: ir.Value,
    first: ir.Value,
    combination: Sequence[_Choice],
    strides: Sequence[ir.Value],
) -> ir.Value:
    row, weight, inside = first, combination[0].weight, combination[0].inside
    for choice, stride in zip(combination, strides, strict=True):
        row = block.op("Add", row, block.op("Mul", choice.index, stride))
    for choice in combination[1:]:
        weight = weight * choice.weight
        if inside is not None and choice.inside is not None:
            inside = both(inside, choice.inside)
    term = block.op("Gather", rows, row, axis=0)
    if isinstance(weight, Expr):
        factor = block.op("Unsqueeze", value_of(block, weight, block.dtype(term)), [-1])
        term = block.op("Mul", term, factor)
    if inside is None:
        return term
    mask = block.op("Unsqueeze", value_of(block, inside), [-1])
    return block.op("Where", mask, term, block.scalar(0, block.dtype(rows)))
