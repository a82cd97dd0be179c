"""Padding of zeros before a convolution or a pool becomes the padding of that operator.

Conv(Pad(x, p), pads=q) = Conv(x, pads=p+q), since a convolution pads with zeros. An average that
counts its padding does so too, and a maximum pads with minus infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import ge
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["FusePad"]

_READERS = ("AveragePool", "Conv", "MaxPool")
_OLDEST = 11
_MODE = "constant"


@dataclass(frozen=True)
class FusePad(Pass):
    """Move the padding of ``Pad`` into the one convolution or pool that reads it.

    TFLite pads by itself where the amounts are those that it calls SAME, and the padding of a
    Keras model is often written as ``Pad``.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[1, 1, 4, 4] x, float[1, 1, 3, 3] w) => (float[1, 1, 2, 2] y)
        <int64[8] amounts = {0, 0, 0, 0, 0, 0, 1, 1}> {
            padded = Pad(x, amounts)
            y = Conv<strides = [2, 2]>(padded, w)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[1, 1, 4, 4] x, float[1, 1, 3, 3] w) => (float[1, 1, 2, 2] y)
        <int64[8] amounts = {0, 0, 0, 0, 0, 0, 1, 1}> {
            y = Conv<pads = [0, 0, 1, 1], strides = [2, 2]>(x, w)
        }
    """

    name: ClassVar[str] = "fuse-pad"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fuse wherever it is exact; linear in nodes."""
        from irconv.graph.edit import Editor

        del context
        if model.graph.opset_imports.get("", 0) < _OLDEST:
            return PassResult(False)
        editor = Editor(model)
        refusals = []
        for graph in (model.graph, *model.graph.subgraphs()):
            for node in list(graph):
                if node.domain or node.op_type not in _READERS:
                    continue
                pad = node.inputs[0].producer() if node.inputs[0] is not None else None
                if pad is None or pad.domain or pad.op_type != "Pad":
                    continue
                reason = _fuse(pad, node)
                if reason:
                    refusals.append(Refusal(node.name or "", node.op_type, reason))
                else:
                    editor.remove(pad)
        count = editor.finish()
        return PassResult(bool(count), {"fused": count}, tuple(refusals))


def _fuse(pad: ir.Node, node: ir.Node) -> str:
    """Fuse, and return the empty string; or return why not."""
    import onnx_ir as ir

    value = pad.outputs[0]
    if len(value.uses()) != 1 or value.is_graph_output() or value.graph is not node.graph:
        return "something else reads the padded tensor"
    amounts = _amounts(pad)
    if amounts is None:
        return "the padding is not of zeros, not constant, or cuts"
    rank = len(amounts) // 2
    if any(amounts[axis] for axis in (0, 1, rank, rank + 1)):
        return "it pads more than spatial dimensions"
    if _text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "the operator chooses its padding by the size of its input"
    own = node.attributes.get("pads")
    before = list(own.as_ints()) if own is not None else [0] * (2 * (rank - 2))
    if not _takes(pad, node, padded=any(before)):
        return "the operator would pad with something else"
    more = [*amounts[2:rank], *amounts[rank + 2 :]]
    pads = [one + other for one, other in zip(before, more, strict=True)]
    kernel = node.attributes.get("kernel_shape")
    if node.op_type != "Conv" and (
        kernel is None or any(map(ge, pads, [*kernel.as_ints(), *kernel.as_ints()]))
    ):
        return "a pool pads by less than its window"
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    node.attributes.pop("auto_pad", None)
    if node.op_type == "AveragePool":
        node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    node.replace_input_with(0, pad.inputs[0])
    return ""


def _amounts(pad: ir.Node) -> list[int] | None:
    """Return the padding of every dimension; None where it is not a known one of a constant."""
    from irconv.graph.constants import constant_ints

    source = pad.inputs[0]
    if _text(pad, "mode", _MODE) != _MODE or source is None or source.shape is None:
        return None
    rank = len(source.shape)
    given = constant_ints(pad.inputs[1])
    axes: tuple[int, ...] | None = tuple(range(rank))
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        axes = constant_ints(pad.inputs[3])
    if given is None or axes is None or min(given, default=0) < 0:
        return None
    amounts = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        amounts[axis % rank] = given[index]
        amounts[rank + axis % rank] = given[len(axes) + index]
    return amounts


def _takes(pad: ir.Node, node: ir.Node, *, padded: bool) -> bool:
    """Whether the operator pads with the number that ``Pad`` does, and counts it alike."""
    import numpy as np

    from irconv.graph.constants import constant_tensor

    filler = pad.inputs[2] if len(pad.inputs) > 2 else None
    tensor = constant_tensor(filler)
    if filler is not None and tensor is None:
        return False
    number = 0.0 if tensor is None else float(tensor.numpy().reshape(-1)[0])
    if node.op_type == "MaxPool":
        return number == -np.inf and not any(value.name for value in node.outputs[1:])
    if node.op_type == "AveragePool":
        counted = _int(node, "count_include_pad") or not padded
        return number == 0 and bool(counted) and not _int(node, "ceil_mode")
    return number == 0


def _int(node: ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return 0 if attribute is None else attribute.as_int()


def _text(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()
