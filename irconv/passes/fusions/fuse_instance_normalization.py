"""Fusing a normalization over all spatial axes into InstanceNormalization.

By the definition of ONNX InstanceNormalization (since opset 1, as of 6)::

    y = scale * (x - mean) / sqrt(variance + epsilon) + bias

with moments over the axes from 2 on, and a scale and bias for each channel, axis 1. A tensor of
rank 3 is left to ``fuse-layer-normalization``, which says the same of it, and so is a scale of
the shape of the spatial axes. The forms are those of :mod:`irconv.passes.fusions.quotient`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.affine import NARROW, Affine, absorbed
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.moments import Spread
from irconv.passes.fusions.pattern import rank
from irconv.passes.fusions.quotient import quotient_of, spread_at

__all__ = ["FuseInstanceNormalization"]

_DTYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})
"""What ONNX Runtime has kernels for: of float64 it runs the parts, and not the operator."""
_LEAST_RANK = 4


@dataclass(frozen=True)
class FuseInstanceNormalization(Fusion):
    """Fuse a normalization over axes 2 and up, with the scale and bias of its channels.

    Where there is no scale or bias, one of ones or zeros is made.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2, 3, W] x) => (float[N, 2, 3, W] y)
        <int64[2] spatial = {2, 3}, float epsilon = {0.5},
         float[2, 1, 1] scale = {2.0, 3.0}, float[1, 2, 1, 1] bias = {1.0, 0.0}> {
            mean = ReduceMean (x, spatial)
            rest = Sub (x, mean)
            square = Mul (rest, rest)
            variance = ReduceMean (square, spatial)
            sum = Add (variance, epsilon)
            root = Sqrt (sum)
            unit = Div (rest, root)
            scaled = Mul (unit, scale)
            y = Add (scaled, bias)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2, 3, W] x) => (float[N, 2, 3, W] y)
        <float[2] y_constant = {2.0, 3.0}, float[2] y_constant_1 = {1.0, 0.0}> {
            y = InstanceNormalization <epsilon = 0.5> (x, y_constant, y_constant_1)
        }
    """

    name: ClassVar[str] = "fuse-instance-normalization"
    anchors: ClassVar[frozenset[str]] = frozenset({"Sqrt", "Pow"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the normalization by a root; see :class:`Fusion`."""
        del scope
        spread = spread_at(node, centred=True)
        count = 0 if spread is None else rank(spread.data) or 0
        if spread is None or count < _LEAST_RANK or spread.axes != tuple(range(2, count)):
            return None
        quotient = quotient_of(node, spread)
        if _is_spatial(quotient, spread):
            return None
        normal = absorbed(quotient, spread.data, (1,), bias=True, dtypes=_DTYPES)
        return Fused(
            "InstanceNormalization",
            [normal.data, normal.scale_or_ones(), normal.bias_or_zeros()],
            [normal.output],
            {"epsilon": spread.epsilon},
            opset=6,
            spared=normal.spared,
        )


def _is_spatial(quotient: Affine, spread: Spread) -> bool:
    """Whether a scale or bias runs along the spatial axes, as LayerNormalization has them."""
    try:
        normal = absorbed(quotient, spread.data, spread.axes, bias=True, dtypes=NARROW)
    except Keep:
        return False
    return normal.scale is not None or normal.bias is not None
