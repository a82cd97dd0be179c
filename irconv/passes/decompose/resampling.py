"""Operators that sample a tensor between its items, in terms of Gather and weighted sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.grid_sample import grid_sample
from irconv.passes.decompose.resize import resize
from irconv.passes.decompose.roi_align import roi_align
from irconv.passes.decompose.unpooling import col2im, max_unpool

__all__ = ["DecomposeResampling"]


@dataclass(frozen=True)
class DecomposeResampling(Decomposition):
    """Replace resampling operators by Gather and weighted sums.

    Scales and sizes of a Resize may be computed, and dims dynamic. RoiAlign stays where the number
    of samples depends on the region, and Col2Im where image and block are not constant.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2] x) => (float[1, 4] y)
        <float[2] scales = {1, 2}> {
            y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                        nearest_mode = "floor"> (x, , scales)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2] x) => (float[1, 4] y)
        <int64[4] y_Constant> {
            y_Constant = Constant <value = int64[4] {0, 0, 1, 1}> ()
            y = Gather <axis = 1> (x, y_Constant)
        }
    """

    name: ClassVar[str] = "decompose-resampling"
    rules: ClassVar[Mapping[str, Rule]] = {
        "Col2Im": col2im,
        "GridSample": grid_sample,
        "MaxUnpool": max_unpool,
        "Resize": resize,
        "RoiAlign": roi_align,
    }
