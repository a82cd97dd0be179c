"""Channels that a convolution reads: what holds them, before they are resized and transposed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.symbolic.sizes import Sizes

__all__ = ["Part", "other_readers", "part_of"]


@dataclass(frozen=True)
class Part:
    """Some channels of what the convolution reads.

    Attributes:
        data: What holds them, before it is resized and transposed.
        channels: How many they are.
        resize: What enlarges them, if anything does.
        transpose: What moves the channels from the last axis to the second, if anything does.
        spared: How many of them, by position of the output, no longer are multiplied.
        passed: The nodes that nothing reads any more.
    """

    data: ir.Value
    channels: int
    resize: ir.Node | None
    transpose: ir.Node | None
    spared: float
    passed: tuple[ir.Node, ...]


def other_readers(node: ir.Node, reader: ir.Node) -> str:
    """Return what else needs the output of ``node`` than ``reader``; empty if nothing does."""
    value = node.outputs[0]
    alone = len(value.uses()) == 1 and not value.is_graph_output() and node.graph is reader.graph
    return "" if alone else f"{value.name!r} has other readers"


def part_of(value: ir.Value | None, reader: ir.Node, outputs: int, sizes: Sizes) -> Part | str:
    """Return a part of the channels, or why a pointwise convolution cannot be applied to it.

    Args:
        value: The part, with channels on its second axis.
        reader: The only node that may read a Resize.
        outputs: How many channels the convolution makes.
        sizes: What is known of sizes in the model.
    """
    dims = sizes.dims(value)
    resize = None if value is None else value.producer()
    if value is None or resize is None or resize.op_type != "Resize" or resize.domain != "":
        if value is None or dims is None or len(dims) < 2 or not isinstance(dims[1], int):
            return "the number of channels of a part is not known"
        return Part(value, dims[1], None, None, 0.0, ())
    data, reason = resize.inputs[0], other_readers(resize, reader)
    dims = sizes.dims(data)
    if reason or data is None or dims is None or len(dims) < 3 or not isinstance(dims[1], int):
        return reason or "the number of channels of a part is not known"
    factor = _enlargement(resize, sizes, outputs)
    if isinstance(factor, str):
        return factor
    transpose = data.producer()
    if transpose is None or not _moves_channels(transpose, len(dims), resize):
        transpose = None
    passed = (resize,) if transpose is None else (resize, transpose)
    spared = dims[1] * (1 - 1 / factor)
    kept = None if factor == 1 and _keeps_size(resize, sizes) else resize
    return Part(data, dims[1], kept, transpose, spared, passed)


def _enlargement(resize: ir.Node, sizes: Sizes, outputs: int) -> float | str:
    """Return how many positions a Resize makes of one, at least 1, or why it does not do."""
    attributes = resize.attributes
    if any(attribute.is_ref() for attribute in attributes.values()):
        return "an attribute of the Resize is a parameter of the enclosing function"
    mode = attributes.get_string("coordinate_transformation_mode", "half_pixel")
    stretches = attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    if mode == "tf_crop_and_resize" or "axes" in attributes or not stretches:
        return "the Resize crops, keeps a ratio or names its axes"
    dims = sizes.dims(resize.inputs[0]) or ()
    scales = constant_tensor(resize.inputs[2]) if len(resize.inputs) > 2 else None
    if scales is not None and scales.size == len(dims):
        factors = [float(scale) for scale in scales.numpy()]
        factor = prod(factors[2:]) if factors[:2] == [1, 1] and min(factors) >= 1 else 0.0
        return factor or "the Resize makes something smaller, or resizes the channels"
    if _keeps_size(resize, sizes):
        return 1.0
    goal = sizes.items(resize.inputs[3]) if len(resize.inputs) > 3 else None
    if goal is None or len(goal.values) != len(dims):
        return "the sizes that the Resize makes are not known"
    if not dims[1] == goal.values[1] == outputs:
        return "the sizes of the Resize have as many channels as its input, and the output not"
    pairs = [
        (size, old)
        for size, old in zip(goal.values[2:], dims[2:], strict=True)
        if isinstance(size, int) and isinstance(old, int) and size >= old > 0
    ]
    if len(pairs) < len(dims) - 2 or dims[0] != goal.values[0]:
        return "the sizes that the Resize makes are not known to be larger"
    return prod(size / old for size, old in pairs)


def _keeps_size(resize: ir.Node, sizes: Sizes) -> bool:
    goal = sizes.items(resize.inputs[3]) if len(resize.inputs) > 3 else None
    return goal is not None and goal.values == sizes.dims(resize.inputs[0])


def _moves_channels(node: ir.Node, rank: int, reader: ir.Node) -> bool:
    """Whether a node brings the last axis to the second place, for ``reader`` alone."""
    if node.op_type != "Transpose" or node.domain != "" or other_readers(node, reader):
        return False
    perm = node.attributes.get("perm")
    return perm is not None and not perm.is_ref() and list(perm.as_ints()) == _channels_last(rank)


def _channels_last(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]
