"""Resize and other operators that read between positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


def _unknown_rank(node: ir.Node) -> str:
    value = node.inputs[0]
    known = value is not None and value.shape is not None
    return "" if known or "axes" in node.attributes else "the rank of its input is not known"


@emits("Resize", refuse=_unknown_rank)
def resize(site: Site) -> Node:
    """Section Resize: one axis after the other."""
    axes = site.attr("axes") or list(range(site.rank() or 0))
    rank = site.rank()
    axes = [axis % rank if rank else axis for axis in axes]
    sizes = site.int_list(3) if site.given(3) else None
    return site.call(
        "resampling.resize", site.tensor(0),
        site.tensor(1) if site.attr("coordinate_transformation_mode") == "tf_crop_and_resize"
        else None,
        site.tensor(2) if sizes is None else None, sizes, axes,
        site.attr("mode", "nearest"), site.attr("coordinate_transformation_mode", "half_pixel"),
        site.attr("nearest_mode", "round_prefer_floor"), float(site.attr("cubic_coeff_a", -0.75)),
        bool(site.attr("exclude_outside", 0)), float(site.attr("extrapolation_value", 0.0)),
        bool(site.attr("antialias", 0)), site.attr("keep_aspect_ratio_policy", "stretch"),
    )  # fmt: skip


def _grid_refusal(node: ir.Node) -> str:
    value = node.inputs[0]
    rank = None if value is None or value.shape is None else value.shape.rank()
    mode = node.attributes.get("mode")
    cubic = mode is not None and mode.as_string() == "cubic"
    if rank not in (4, 5):
        return "torch samples grids of 2 and 3 dimensions"
    return "torch samples volumes not by cubic interpolation" if cubic and rank == 5 else ""


_GRID_MODES = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest"}


@emits("GridSample", refuse=_grid_refusal)
def grid_sample(site: Site) -> Node:
    """Section GridSample: torch.nn.functional.grid_sample."""
    mode = _GRID_MODES.get(site.attr("mode", "linear"), "bicubic")
    return site.torch(
        "nn.functional.grid_sample", site.tensor(0), site.tensor(1), mode,
        site.attr("padding_mode", "zeros"), bool(site.attr("align_corners", 0)),
    )  # fmt: skip


@emits("RoiAlign")
def roi_align(site: Site) -> Node:
    """Section RoiAlign."""
    return site.call(
        "detection.roi_align", *site.tensors(), site.attr("output_height", 1),
        site.attr("output_width", 1), site.attr("sampling_ratio", 0),
        float(site.attr("spatial_scale", 1.0)), site.attr("mode", "avg") == "max",
        site.attr("coordinate_transformation_mode", "half_pixel") == "half_pixel",
    )  # fmt: skip
