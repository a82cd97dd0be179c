"""Pooling, normalization and deformable convolution in terms of what every target has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.deform_conv import deform_conv
from irconv.passes.decompose.determinant import determinant
from irconv.passes.decompose.normalizations import (
    batch_normalization,
    instance_normalization,
    local_response,
    lp_normalization,
)
from irconv.passes.decompose.pooling import average_pool, global_pool, lp_pool, max_pool

__all__ = ["DecomposeVision"]


@dataclass(frozen=True)
class DecomposeVision(Decomposition):
    """Replace pooling and normalization by convolutions with ones, gathers and reductions.

    What nearly every target has is replaced only where ``ops`` names it: AveragePool, MaxPool,
    GlobalAveragePool, GlobalMaxPool, BatchNormalization and InstanceNormalization.

    Attributes:
        ops: Operator types to replace; those of the family but the six, if none is given.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 4] x) => (float[N, 2, 1] y) {
            y = GlobalLpPool <p = 1> (x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 4] x) => (float[N, 2, 1] y)
        <float[N, 2, 4] y_Abs, int64[1] y_Constant> {
            y_Abs = Abs(x)
            y_Constant = Constant <value = int64[1] {2}> ()
            y = ReduceSum(y_Abs, y_Constant)
        }
    """

    name: ClassVar[str] = "decompose-vision"
    rules: ClassVar[Mapping[str, Rule]] = {
        "AveragePool": average_pool,
        "BatchNormalization": batch_normalization,
        "DeformConv": deform_conv,
        "Det": determinant,
        "GlobalAveragePool": global_pool,
        "GlobalLpPool": global_pool,
        "GlobalMaxPool": global_pool,
        "InstanceNormalization": instance_normalization,
        "LRN": local_response,
        "LpNormalization": lp_normalization,
        "LpPool": lp_pool,
        "MaxPool": max_pool,
    }
    default_ops: ClassVar[tuple[str, ...]] = (
        "DeformConv",
        "Det",
        "GlobalLpPool",
        "LRN",
        "LpNormalization",
        "LpPool",
    )
