"""Images at other sizes or coordinates, where MIL has the same grid; the rest is taken apart."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_BILINEAR = {
    "align_corners": "STRICT_ALIGN_CORNERS",
    "asymmetric": "DEFAULT",
    "half_pixel": "UNALIGN_CORNERS",
    "pytorch_half_pixel": "UNALIGN_CORNERS",
}
"""MIL's name of the grid; each is the same for two or more points a dimension."""
_TAKEN_APART = "UNSUPPORTED_FORM: MIL resizes images by other rules"


def _planes(node: ir.Node) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return height and width before and after, for an image whose other sizes stay."""
    before = ask.shape(node, 0)
    after = ask.static_shape((ask.output_shape(node) or (None,))[-2:])
    if before is None or after is None or len(before) != 4 or len(after) != 2:
        return None
    source = ask.static_shape(before[2:])
    out = ask.output_shape(node) or ()
    if source is None or before[1] != out[1] or not _keeps_batch(node):
        return None
    return (source[0], source[1]), (after[0], after[1])


def _keeps_batch(node: ir.Node) -> bool:
    before, after = (
        value.shape[0] if value is not None and value.shape else None
        for value in (node.inputs[0], node.outputs[0])
    )
    if before == after not in (None, ir.SymbolicDim(None)):
        return True
    scales = ask.constant(node, 2)
    return scales is not None and scales.size == 4 and float(scales.reshape(-1)[0]) == 1.0


def _same_scale(node: ir.Node, before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Return whether the scales are the ratios of the sizes, as MIL takes them."""
    scales = ask.constant(node, 2)
    if scales is None:
        return ask.given(node, 3) is not None
    ratios = [float(item) for item in scales.reshape(-1)[-2:]]
    return all(
        size * ratio == goal for size, ratio, goal in zip(before, ratios, after, strict=True)
    )


def _resize_refusal(node: ir.Node) -> Reason:
    planes = _planes(node)
    if planes is None or ask.attr_int(node, "antialias", 0) or "axes" in node.attributes:
        return _TAKEN_APART
    (before, after), mode = planes, ask.attr_text(node, "mode", "nearest")
    grid = ask.attr_text(node, "coordinate_transformation_mode", "half_pixel")
    policy = ask.attr_text(node, "keep_aspect_ratio_policy", "stretch")
    if not _same_scale(node, before, after) or policy != "stretch":
        return _TAKEN_APART
    if mode == "linear":
        if grid not in _BILINEAR or min(*before, *after) < 2:
            return _TAKEN_APART
        return float_input(node)
    rounding = ask.attr_text(node, "nearest_mode", "round_prefer_floor")
    whole = all(goal % size == 0 for size, goal in zip(before, after, strict=True))
    fits = (grid, rounding) in (
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
        ("pytorch_half_pixel", "round_prefer_floor"),
    )
    if mode != "nearest" or not whole or not fits:
        return _TAKEN_APART
    return float_input(node)


@emits("Resize", refuses=_resize_refusal)
def _resize(site: Site) -> Var:
    """ONNX Resize of an image: by repeating pixels a whole number of times, or bilinear."""
    planes = _planes(site.node)
    assert planes is not None
    before, after = planes
    if site.text("mode", "nearest") == "nearest":
        return site.mb.upsample_nearest_neighbor(
            x=site.x,
            scale_factor_height=np.int32(after[0] // before[0]),
            scale_factor_width=np.int32(after[1] // before[1]),
        )
    grid = site.text("coordinate_transformation_mode", "half_pixel")
    return site.mb.resize_bilinear(
        x=site.x,
        target_size_height=after[0],
        target_size_width=after[1],
        sampling_mode=_BILINEAR[grid],
    )


def _grid_refusal(node: ir.Node) -> Reason:
    if ask.rank(node, 0) != 4:
        return _TAKEN_APART
    mode = ask.attr_text(node, "mode", "linear")
    if mode not in ("linear", "bilinear"):
        return _TAKEN_APART
    if ask.attr_text(node, "padding_mode", "zeros") not in ("zeros", "border"):
        return _TAKEN_APART
    return float_input(node)


@emits("GridSample", refuses=_grid_refusal)
def _grid_sample(site: Site) -> Var:
    """ONNX GridSample, bilinear, padded by zeros or the border, as MIL resample."""
    border = site.text("padding_mode", "zeros") == "border"
    return site.mb.resample(
        x=site.x,
        coordinates=site[1],
        sampling_mode="bilinear",
        padding_mode="border" if border else "constant",
        padding_value=site.like(0, site.x),
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=bool(site.int_("align_corners", 0)),
    )
