"""Folding of padding into the convolution or pooling after it.

Conv, and AveragePool that counts padding, read zeros where their window leaves the input, and
MaxPool reads minus infinity (ONNX operator specifications), so a border of these may as well be
padding: the pads add up. ConvTranspose pads otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.edit import Editor
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place

__all__ = ["FoldPadding"]

_COUNTS_PADDING = 7


@dataclass(frozen=True)
class FoldPadding(NodeRewrite[list[int]]):
    """Let a Conv or a pooling pad by itself with what Pad put around its input.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 1, 3, 3] x) => (float[N, 1, 4, 3] y)
        <int64[8] pads = {0, 0, 1, 0, 0, 0, 1, 0}, float[1, 1, 2, 1] w = {1.0, 2.0},
         float[N, 1, 5, 3] a> {
            a = Pad(x, pads)
            y = Conv(a, w)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 1, 3, 3] x) => (float[N, 1, 4, 3] y)
        <float[1, 1, 2, 1] w = {1.0, 2.0}> {
            y = Conv <pads = [1, 0, 1, 0]> (x, w)
        }
    """

    name: ClassVar[str] = "fold-padding"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "cancel-transposes")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset(
        {"AveragePool", "Conv", "ConvInteger", "MaxPool"}
    )
    counted: ClassVar[str] = "fused"

    def match(self, node: ir.Node, place: Place) -> list[int] | str | None:
        """Return the pads of a node with those of the Pad before it."""
        return _match(node, place.opset)

    def rewrite(self, node: ir.Node, match: list[int], place: Place) -> None:
        """Give the node these pads, and drop the Pad."""
        _fuse(node, match, place.editor)


def _match(node: ir.Node, opset: int) -> list[int] | str | None:
    """Return the pads of a node with those of the Pad before it, why not, or None."""
    if node.inputs[0] is None:
        return None
    pad = node.inputs[0].producer()
    if pad is None or pad.op_type != "Pad" or pad.domain != "":
        return None
    value = node.inputs[0]
    if pad.graph is not node.graph or value.is_graph_output() or len(value.uses()) != 1:
        return f"the padded {value.name!r} has other readers"
    attributes = (*node.attributes.values(), *pad.attributes.values())
    if any(attribute.is_ref() for attribute in attributes):
        return "an attribute is a parameter of the enclosing function"
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "it finds its padding by itself (auto_pad)"
    if len(node.inputs) > 2 and node.op_type == "ConvInteger" and node.inputs[2] is not None:
        return "its zero point may be another number than the padding's"
    if node.op_type == "AveragePool":
        counts = node.attributes.get_int("count_include_pad", 0) == 1 or not any(_own_pads(node))
        if opset < _COUNTS_PADDING or not counts or node.attributes.get_int("ceil_mode", 0) == 1:
            return "the pooling does not count its padding, or rounds its size up"
    if node.op_type == "MaxPool" and any(value.name for value in node.outputs[1:]):
        return "its second output tells positions in the padded input"
    return _pads(node, pad)


def _pads(node: ir.Node, pad: ir.Node) -> list[int] | str:
    filler = -np.inf if node.op_type == "MaxPool" else 0.0
    if pad.attributes.get_string("mode", "constant") != "constant" or _filler(pad) != filler:
        return f"the padding is not by {filler:g}"
    rank = _rank(node, pad)
    given = pad.attributes.get("pads")
    pads = constant_ints(pad.inputs[1]) if given is None and len(pad.inputs) > 1 else None
    pads = tuple(given.as_ints()) if given is not None else pads
    if rank is None or pads is None:
        return "the rank or the size of the padding is unknown"
    axes = _axes(pad, rank)
    if axes is None or len(pads) != 2 * len(axes):
        return "the axes of the padding are unknown"
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        full[axis] = pads[position]
        full[rank + axis] = pads[len(axes) + position]
    if min(full) < 0 or any(full[axis] or full[rank + axis] for axis in (0, 1)):
        return "it cuts something off, or pads batches or channels"
    mine = _own_pads(node) or [0] * (2 * rank - 4)
    added = [*full[2:rank], *full[rank + 2 :]]
    total = [one + other for one, other in zip(mine, added, strict=True)]
    kernel = node.attributes.get("kernel_shape")
    if node.op_type in ("AveragePool", "MaxPool") and kernel is not None:
        sizes = list(kernel.as_ints()) * 2
        if any(one >= size for one, size in zip(total, sizes, strict=True)):
            return "the padding would be as wide as the window of the pooling"
    return total


def _own_pads(node: ir.Node) -> list[int]:
    """Return the padding that a node has already; empty where it says none."""
    pads = node.attributes.get("pads")
    if pads is None or node.attributes.get_string("auto_pad", "NOTSET") == "VALID":
        return []
    return list(pads.as_ints())


def _filler(pad: ir.Node) -> float | None:
    """Return the number that is put around the input, or None if only the run knows it."""
    if "value" in pad.attributes:
        return pad.attributes.get_float("value", 0.0)
    if len(pad.inputs) < 3 or pad.inputs[2] is None:
        return 0.0
    tensor = constant_tensor(pad.inputs[2])
    return None if tensor is None or tensor.size != 1 else float(tensor.numpy().reshape(-1)[0])


def _rank(node: ir.Node, pad: ir.Node) -> int | None:
    weight = constant_tensor(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is not None:
        return len(weight.shape)
    shapes = (value.shape for value in (pad.inputs[0], node.inputs[0]) if value is not None)
    return next((len(shape) for shape in shapes if shape is not None), None)


def _axes(pad: ir.Node, rank: int) -> list[int] | None:
    if len(pad.inputs) < 4 or pad.inputs[3] is None:
        return list(range(rank))
    axes = constant_ints(pad.inputs[3])
    return None if axes is None else [axis % rank for axis in axes]


def _fuse(node: ir.Node, pads: list[int], editor: Editor) -> None:
    assert node.inputs[0] is not None
    pad = node.inputs[0].producer()
    assert pad is not None
    read = pad.inputs[1:]
    node.replace_input_with(0, pad.inputs[0])
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    node.attributes.pop("auto_pad", None)
    if node.op_type == "AveragePool":
        node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    editor.remove(pad)
    editor.finish()
    for value in read:
        drop_unread(value)
