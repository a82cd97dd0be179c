"""Windows that slide over spatial dimensions: geometry, padding, channel-last views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import int_attribute, ints_attribute, text_attribute
from irconv_tflite.ops.registry import NHWC

__all__ = ["Window", "channels_first", "channels_last", "pad_spatial", "window_of"]


@dataclass(frozen=True)
class Window:
    """A window over ``rank`` spatial dimensions.

    Attributes:
        kernel: Sizes of the window.
        strides: Steps.
        dilations: Distances between the elements of the window.
        before: Padding before each dimension.
        after: Padding after each dimension, with what rounding up the output's size adds.
        same: Whether the padding is what TFLite calls SAME, whatever the sizes are.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    same: bool = False

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the sizes of the window with the gaps of its dilation."""
        return tuple(
            (size - 1) * gap + 1 for size, gap in zip(self.kernel, self.dilations, strict=True)
        )

    @property
    def is_padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.before) or any(self.after)

    def output(self, sizes: Shape) -> Shape:
        """Return the output's spatial sizes."""
        if self.same:
            return tuple(
                None if size is None else -(-size // step)
                for size, step in zip(sizes, self.strides, strict=True)
            )
        return tuple(
            None if size is None else max((size + first + last - extent) // step + 1, 0)
            for size, first, last, extent, step in zip(
                sizes, self.before, self.after, self.extent, self.strides, strict=True
            )
        )

    def prepended(self) -> Window:
        """Return the same window with one more dimension of size 1 in front."""
        return replace(
            self,
            kernel=(1, *self.kernel),
            strides=(1, *self.strides),
            dilations=(1, *self.dilations),
            before=(0, *self.before),
            after=(0, *self.after),
        )


def window_of(node: ir.Node, kernel: Sequence[int], sizes: Shape) -> Window:
    """Read a window from the attributes of a node.

    Args:
        node: A convolution or a pool.
        kernel: Sizes of the window.
        sizes: Spatial sizes of the input.
    """
    rank = len(kernel)
    window = Window(
        kernel=tuple(kernel),
        strides=tuple(ints_attribute(node, "strides") or [1] * rank),
        dilations=tuple(ints_attribute(node, "dilations") or [1] * rank),
        before=(0,) * rank,
        after=(0,) * rank,
    )
    mode = text_attribute(node, "auto_pad", "NOTSET")
    if mode == "VALID":
        return window
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        return _same(window, sizes, upper=mode == "SAME_UPPER")
    pads = ints_attribute(node, "pads") or [0] * (2 * rank)
    window = replace(window, before=tuple(pads[:rank]), after=tuple(pads[rank:]))
    if int_attribute(node, "ceil_mode", 0):
        window = _rounded_up(window, sizes)
    amounts = _same_amounts(window, sizes)
    same = amounts is not None and window.is_padded and amounts == (window.before, window.after)
    return replace(window, same=same)


def _same_amounts(
    window: Window, sizes: Shape, *, upper: bool = True
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    if None in sizes:
        return None
    before, after = [], []
    for size, extent, step in zip(sizes, window.extent, window.strides, strict=True):
        known = size or 0
        total = max((-(-known // step) - 1) * step + extent - known, 0)
        small, large = total // 2, total - total // 2
        before.append(small if upper else large)
        after.append(large if upper else small)
    return tuple(before), tuple(after)


def _same(window: Window, sizes: Shape, *, upper: bool) -> Window:
    amounts = _same_amounts(window, sizes, upper=upper)
    if amounts is None:
        if upper:
            return replace(window, same=True)
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "auto_pad SAME_LOWER of a dynamic size has no counterpart in TFLite",
            "bind the spatial dimensions with --shape",
        )
    before, after = amounts
    even = upper or before == after
    return replace(window, before=before, after=after, same=even)


def _rounded_up(window: Window, sizes: Shape) -> Window:
    """Return the window with the padding after it that rounding the output up needs."""
    if None in sizes:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "ceil_mode of a dynamic size has no counterpart in TFLite",
            "bind the spatial dimensions with --shape",
        )
    after = []
    for size, first, last, extent, step in zip(
        sizes, window.before, window.after, window.extent, window.strides, strict=True
    ):
        known = size or 0
        count = -(-(known + first + last - extent) // step) + 1
        if (count - 1) * step >= known + first:
            count -= 1
        after.append(max((count - 1) * step + extent - known - first, last))
    return replace(window, after=tuple(after))


def pad_spatial(
    graph: GraphWriter, x: Tensor, window: Window, fill: float | None = None
) -> tuple[Tensor, Window, str]:
    """Apply explicit padding where TFLite's own does not fit.

    Args:
        graph: Where to add operators.
        x: A channel-last tensor.
        window: The window.
        fill: What to pad with; None is zero.

    Returns:
        The tensor, the window that is left, and the name of TFLite's padding.
    """
    if window.same:
        return x, window, "SAME"
    if not window.is_padded:
        return x, window, "VALID"
    if min(*window.before, *window.after) < 0:
        raise RefusalError(
            "UNSUPPORTED_FORM", "TFLite has no negative padding", "cut the input by Slice"
        )
    amounts = [(0, 0), *zip(window.before, window.after, strict=True), (0, 0)]
    assert x.shape is not None
    shape = tuple(
        None if dim is None else dim + first + last
        for dim, (first, last) in zip(x.shape, amounts, strict=True)
    )
    paddings = graph.constant(np.array(amounts, np.int32))
    if fill is None:
        padded = graph.op("PAD", [x, paddings], shape)
    else:
        padded = graph.op("PADV2", [x, paddings, graph.constant(fill, x.dtype)], shape)
    zero = (0,) * len(window.kernel)
    return padded, replace(window, before=zero, after=zero), "VALID"


def channels_last(graph: GraphWriter, node: ir.Node, x: Tensor) -> Tensor:
    """Return an activation of a node with its channels last."""
    if node.domain == NHWC:
        return x
    rank = len(x.shape or ())
    return graph.transpose(x, [0, *range(2, rank), 1])


def channels_first(graph: GraphWriter, node: ir.Node, x: Tensor) -> Tensor:
    """Return a channel-last tensor in the layout of the node's result."""
    if node.domain == NHWC:
        return x
    rank = len(x.shape or ())
    return graph.transpose(x, [0, rank - 1, *range(1, rank - 1)])
