"""Operators that TFLite has in channel-last form only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.layout.form import Form
from irconv.passes.layout.permutation import Permutation, channel_last
from irconv.passes.layout.rules import RULES, Rule, rank_of
from irconv_tflite.passes.layout.functions import ATTRIBUTES, DOMAIN, channel_last_name

__all__ = ["CHANNEL_LAST_RULES", "anchor_form", "channel_last_form"]

_ANCHORS = frozenset(
    {
        "AveragePool", "Conv", "ConvTranspose", "DepthToSpace", "LRN", "MaxPool", "Resize",
        "SpaceToDepth",
    }
)  # fmt: skip
_RANKS = {"DepthToSpace": (4,), "SpaceToDepth": (4,)}
_SCALES = 2


def anchor_form(node: ir.Node) -> Form | str:
    """Return the channel-last form of an operator that starts a region, or why it has none.

    An empty reason means that the operator starts none.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in _ANCHORS:
        return ""
    value = node.inputs[0]
    if value is None or value.shape is None:
        return "the rank of its input is not known"
    if len(value.shape) not in _RANKS.get(node.op_type, (3, 4, 5)):
        return f"an input of rank {len(value.shape)} has no channel-last operator"
    if len(node.outputs) > 1 and any(output.name for output in node.outputs[1:]):
        return "it has a second output"
    if node.op_type == "Resize" and not _keeps_channels(node):
        return "it resizes more than the spatial dimensions"
    return channel_last_form(node)


def channel_last_form(node: ir.Node) -> Form | str:
    """Return the channel-last form of an operator, or why it has none."""
    unknown = set(node.attributes) - set(ATTRIBUTES[node.op_type])
    ignored = {"spatial_scale", "storage_order", "momentum", "training_mode"}
    if unknown - ignored:
        return f"its attributes {', '.join(sorted(unknown))} are not known"
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return "its attributes depend on a caller"
    value = node.inputs[0]
    assert value is not None
    assert value.shape is not None
    rank = len(value.shape)
    order = channel_last(rank)
    return Form(
        inputs=(order, *(None for _ in node.inputs[1:])),
        outputs=(order, *(None for _ in node.outputs[1:])),
        op_type=channel_last_name(node.op_type, rank),
        domain=DOMAIN,
        dropped=frozenset(unknown),
    )


def _keeps_channels(node: ir.Node) -> bool:
    """Whether batch and channels keep their sizes."""
    before, after = node.inputs[0], node.outputs[0]
    assert before is not None
    assert before.shape is not None
    rank = len(before.shape)
    axes: Sequence[int] = range(rank)
    if "axes" in node.attributes:
        axes = [axis % rank for axis in node.attributes["axes"].as_ints()]
    leading = {axis: index for index, axis in enumerate(axes) if axis in (0, 1)}
    scales = node.inputs[_SCALES] if len(node.inputs) > _SCALES else None
    if scales is not None:
        tensor = constant_tensor(scales)
        if tensor is None or tensor.size:
            return tensor is None or all(tensor.numpy()[index] == 1 for index in leading.values())
    if after.shape is None:
        return not leading
    return all(before.shape[axis] == after.shape[axis] for axis in leading)


def _per_channel(node: ir.Node, order: Permutation, port: int) -> Form | None:
    """BatchNormalization, InstanceNormalization: an operator of their own."""
    if port > 0 or rank_of(node.inputs[0]) != len(order) or order != channel_last(len(order)):
        return None
    mode = node.attributes.get("training_mode")
    outputs = [value for value in node.outputs[1:] if value.name]
    if len(order) not in (3, 4, 5) or outputs or (mode is not None and mode.as_int()):
        return None
    form = channel_last_form(node)
    return form if isinstance(form, Form) else None


CHANNEL_LAST_RULES: Mapping[str, Rule] = {
    **RULES,
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _per_channel),
}
"""Operators that join a region: those of any layout, and those that have a channel-last form."""
