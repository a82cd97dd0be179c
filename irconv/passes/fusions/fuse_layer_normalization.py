"""Fusing a normalization over the last axes into LayerNormalization.

By the function body of ONNX LayerNormalization (since opset 17)::

    y = (x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon) * scale + bias

with moments over the last axes. What exporters write is this formula, rearranged: torch's legacy
exporter below opset 17 and tf2onnx divide by ``Sqrt``; Keras multiplies by the inverse root, takes
the scale into it, and multiplies out: ``x * s + (bias - mean * s)``. The forms are told apart in
:mod:`irconv.passes.fusions.quotient`, the forms of the variance in
:mod:`irconv.passes.fusions.moments`, and casts in :mod:`irconv.passes.fusions.affine`.
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

__all__ = ["FuseLayerNormalization"]


@dataclass(frozen=True)
class FuseLayerNormalization(Fusion):
    """Fuse a normalization over the last axes, with its scale and bias.

    Where there is no scale, one of ones is made. The moments are computed in float32 by the
    operator (``stash_type`` 1), so float64 is left alone, and casts to float32 around go.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <int64[1] last = {-1}, float two = {2.0}, float epsilon = {0.5},
         float[2] scale = {2.0, 3.0}, float[2] bias = {1.0, 0.0}> {
            mean = ReduceMean (x, last)
            rest = Sub (x, mean)
            square = Pow (rest, two)
            variance = ReduceMean (square, last)
            sum = Add (variance, epsilon)
            root = Sqrt (sum)
            unit = Div (rest, root)
            scaled = Mul (unit, scale)
            y = Add (scaled, bias)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <float[2] scale = {2.0, 3.0}, float[2] bias = {1.0, 0.0}> {
            y = LayerNormalization <axis = -1, epsilon = 0.5> (x, scale, bias)
        }
    """

    name: ClassVar[str] = "fuse-layer-normalization"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-instance-normalization")
    anchors: ClassVar[frozenset[str]] = frozenset({"Sqrt", "Pow"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the normalization by a root; see :class:`Fusion`."""
        del scope
        spread = spread_at(node, centred=True)
        if spread is None:
            return None
        quotient = quotient_of(node, spread)
        axes = last_axes(spread)
        normal = absorbed(quotient, spread.data, axes, bias=True)
        bias = [] if normal.bias is None else [normal.bias]
        return Fused(
            "LayerNormalization",
            [normal.data, normal.scale_or_ones(), *bias],
            [normal.output],
            {"axis": -len(axes), "epsilon": spread.epsilon},
            opset=17,
            spared=normal.spared,
        )
