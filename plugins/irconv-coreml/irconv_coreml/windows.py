"""Arithmetic of sliding windows, shared by convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.registry import Reason

__all__ = ["Windows", "known_same_padding", "windows"]


@dataclass(frozen=True)
class Windows:
    """A window along each spatial dimension.

    Attributes:
        kernel: Sizes.
        strides: Steps.
        dilations: Distances of the elements of a window.
        begin: Padding in front.
        end: Padding behind.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """How many positions a window spans, dilation included."""
        return tuple(
            (size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True)
        )

    @property
    def pads(self) -> list[int]:
        """Padding as MIL has it: before and after, dimension by dimension."""
        return [pad for pair in zip(self.begin, self.end, strict=True) for pad in pair]

    def ceiling_excess(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the padding behind that makes room for windows that ceil_mode adds.

        A window that would start in the padding behind is left out, as ONNX has it.
        """
        excess: list[int] = []
        for size, reach, step, front, back in zip(
            sizes, self.reach, self.strides, self.begin, self.end, strict=True
        ):
            whole = size + front + back
            count = -(-(whole - reach) // step) + 1
            if (count - 1) * step >= size + front:
                count -= 1
            excess.append(max(0, (count - 1) * step + reach - whole))
        return tuple(excess)


def windows(node: ir.Node, kernel: Sequence[int]) -> Windows:
    """Read a node's windows; ``auto_pad`` is resolved, which needs the input's sizes."""
    rank = len(kernel)
    strides = ask.attr_ints(node, "strides") or [1] * rank
    dilations = ask.attr_ints(node, "dilations") or [1] * rank
    pads = ask.attr_ints(node, "pads") or [0] * 2 * rank
    mode = ask.attr_text(node, "auto_pad", "NOTSET")
    found = Windows(
        tuple(kernel), tuple(strides), tuple(dilations), tuple(pads[:rank]), tuple(pads[rank:])
    )
    if mode == "VALID":
        return Windows(found.kernel, found.strides, found.dilations, (0,) * rank, (0,) * rank)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        return found
    sizes = (ask.shape(node, 0) or ())[2:]
    begin: list[int] = []
    end: list[int] = []
    for size, reach, step in zip(sizes, found.reach, found.strides, strict=True):
        total = reach - 1 if size is None else max((-(-size // step) - 1) * step + reach - size, 0)
        less, more = total // 2, total - total // 2
        begin.append(less if mode == "SAME_UPPER" else more)
        end.append(more if mode == "SAME_UPPER" else less)
    return Windows(found.kernel, found.strides, found.dilations, tuple(begin), tuple(end))


def known_same_padding(node: ir.Node) -> Reason:
    """Refuse ``auto_pad`` SAME with strides over an input whose sizes are not known."""
    if not ask.attr_text(node, "auto_pad", "NOTSET").startswith("SAME"):
        return ""
    sizes = (ask.shape(node, 0) or ())[2:]
    if None in sizes and any(step != 1 for step in ask.attr_ints(node, "strides") or []):
        return "DYNAMIC_SHAPE: the padding of auto_pad depends on sizes that are not known"
    return ""
