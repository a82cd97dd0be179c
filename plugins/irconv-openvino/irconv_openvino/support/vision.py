"""Limits of pooling, resampling and detection operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv_openvino.support.node import attribute_int, attribute_text, rank_of, value_at

if TYPE_CHECKING:
    from irconv_openvino.support.node import Check

__all__ = ["CAVEATS", "REFUSALS"]

_PLANAR_RANK = 4
_RESIZE_MODES = frozenset(
    {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"}
)


def _resize(node: ir.Node) -> str:
    where = attribute_text(node, "coordinate_transformation_mode", "half_pixel")
    if where not in _RESIZE_MODES:
        return f"OpenVINO has no coordinate_transformation_mode={where}"
    if attribute_int(node, "antialias", 0):
        return "OpenVINO 2026.4 computes wrong results with antialias=1"
    if attribute_int(node, "exclude_outside", 0):
        return "OpenVINO 2026.4 computes wrong results with exclude_outside=1"
    policy = attribute_text(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        return f"OpenVINO 2026.4 computes wrong sizes with keep_aspect_ratio_policy={policy}"
    return ""


def _planar(what: str) -> Check:
    def check(node: ir.Node) -> str:
        rank = rank_of(value_at(node, 0))
        if rank is not None and rank > _PLANAR_RANK:
            return f"OpenVINO's {what} takes two spatial dimensions only"
        return ""

    return check


def _col2im(node: ir.Node) -> str:
    shape = value_at(node, 1)
    if shape is not None and shape.shape is not None and shape.shape[0] not in (2, None):
        return "OpenVINO's Col2Im takes two spatial dimensions only"
    return ""


def _roi_align(node: ir.Node) -> str:
    if attribute_text(node, "mode", "avg") == "max":
        return "OpenVINO 2026.4 computes wrong results with mode=max"
    return ""


def _rearrange(node: ir.Node) -> str:
    if node.op_type == "SpaceToDepth" and attribute_text(node, "mode", "DCR") == "CRD":
        return "OpenVINO 2026.4 takes mode=CRD as DCR"
    return ""


def _pool(node: ir.Node) -> str:
    """With ``ceil_mode`` a window may begin in the padding behind the data, or be larger than it.

    ONNX leaves the former out, and of the latter it takes what lies on the data.
    """
    data = value_at(node, 0)
    if not attribute_int(node, "ceil_mode", 0) or data is None or data.shape is None:
        return ""
    kernel, strides = _ints(node, "kernel_shape"), _ints(node, "strides")
    pads, dilations = _ints(node, "pads"), _ints(node, "dilations")
    for axis, size in enumerate(list(data.shape)[2:]):
        if not isinstance(size, int) or axis >= len(kernel):
            continue
        stride = strides[axis] if strides else 1
        before, after = (pads[axis], pads[axis + len(kernel)]) if pads else (0, 0)
        span = (dilations[axis] if dilations else 1) * (kernel[axis] - 1) + 1
        if span > size + before + after:
            return "OpenVINO takes no window that is larger than the padded data"
        last = -(-(size + before + after - span) // stride) * stride
        if last >= size + before and node.op_type == "MaxPool":
            return "OpenVINO 2026.4 counts a last window that lies in the padding (ceil_mode=1)"
    return ""


def _ints(node: ir.Node, name: str) -> list[int]:
    attribute = node.attributes.get(name)
    return [] if attribute is None or attribute.is_ref() else list(attribute.as_ints())


def _pad(node: ir.Node) -> str:
    if attribute_text(node, "mode", "constant") == "wrap":
        return "OpenVINO has no padding with mode=wrap"
    return ""


def _suppression(node: ir.Node) -> str:
    del node
    return "a box that overlaps by exactly the threshold is suppressed, which ONNX keeps"


def _infinite_windows(node: ir.Node) -> str:
    del node
    return "a window of minus infinities only comes out as the lowest finite number"


REFUSALS: Mapping[str, Check] = {
    "AveragePool": _pool,
    "Col2Im": _col2im,
    "GridSample": _planar("GridSample"),
    "MaxPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "SpaceToDepth": _rearrange,
}
CAVEATS: Mapping[str, Check] = {
    "MaxPool": _infinite_windows,
    "NonMaxSuppression": _suppression,
}
