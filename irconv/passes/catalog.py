"""All passes of the core, in the order in which ``irconv passes`` lists them."""

from __future__ import annotations

from irconv.passes.base import Pass
from irconv.passes.bind_shapes import BindShapes
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm
from irconv.passes.prune_magnitude import PruneMagnitude
from irconv.passes.quantize_weights import QuantizeWeights
from irconv.passes.simplify import Simplify

__all__ = ["PASSES"]

PASSES: tuple[type[Pass], ...] = (
    BindShapes,
    FuseConvBatchnorm,
    Simplify,
    PruneMagnitude,
    QuantizeWeights,
)
