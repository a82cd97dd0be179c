"""Fusing a division by the root mean square over the last axes into RMSNormalization.

By the function body of ONNX RMSNormalization (since opset 23)::

    y = x / sqrt(mean(x²) + epsilon) * scale

The models that have it (T5, Llama, Gemma and their like) multiply by the inverse root, in float32
between casts where they are in half precision; Gemma's scale is 1 + weight, which is a value like
any other. The forms are told apart in :mod:`irconv.passes.fusions.quotient` and
:mod:`irconv.passes.fusions.affine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.affine import absorbed
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.quotient import last_axes, quotient_of, spread_at

__all__ = ["FuseRmsNormalization"]


@dataclass(frozen=True)
class FuseRmsNormalization(Fusion):
    """Fuse a division by the root mean square over the last axes, with its scale.

    Where there is no scale, one of ones is made. The mean is computed in float32 by the operator
    (``stash_type`` 1), so float64 is left alone, and casts to float32 around go.

    Before::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2] x) => (float[N, 2] y)
        <int64[1] last = {-1}, float two = {2.0}, float epsilon = {0.5},
         float[2] weight = {2.0, 3.0}> {
            square = Pow (x, two)
            mean = ReduceMean (square, last)
            sum = Add (mean, epsilon)
            root = Sqrt (sum)
            inverse = Reciprocal (root)
            unit = Mul (x, inverse)
            y = Mul (weight, unit)
        }

    After::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2] x) => (float[N, 2] y)
        <float[2] weight = {2.0, 3.0}> {
            y = RMSNormalization <axis = -1, epsilon = 0.5> (x, weight)
        }
    """

    name: ClassVar[str] = "fuse-rms-normalization"
    anchors: ClassVar[frozenset[str]] = frozenset({"Sqrt", "Pow"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the normalization by a root; see :class:`Fusion`."""
        del scope
        spread = spread_at(node, centred=False)
        if spread is None:
            return None
        quotient = quotient_of(node, spread)
        axes = last_axes(spread)
        normal = absorbed(quotient, spread.data, axes, bias=False)
        return Fused(
            "RMSNormalization",
            [normal.data, normal.scale_or_ones()],
            [normal.output],
            {"axis": -len(axes), "epsilon": spread.epsilon},
            opset=23,
            spared=normal.spared,
        )
