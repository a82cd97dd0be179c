"""Fusing rotary position embedding into the RotaryEmbedding operator of opset 23.

By the function body of ONNX RotaryEmbedding (since opset 23), for queries or keys x of dims
(batch, heads, sequence, D), and cos and sin of dims (batch, sequence, D/2)::

    y1 = x1 cos - x2 sin        y2 = x2 cos + x1 sin

where x1 and x2 are the halves of x, or its even and odd elements (``interleaved``). Models
compute cos and sin in all D columns, of which the operator wants every number once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.fusions.base import Fusion, Matcher
from irconv.passes.fusions.fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.graph.scopes import Scope

__all__ = ["FuseRotaryEmbedding"]


@dataclass(frozen=True)
class FuseRotaryEmbedding(Fusion):
    """Fuse the turn of queries and keys by angles that grow with the position.

    Before::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2, S, 4] x, float[N, S, 2] angles) => (float[N, 2, S, 4] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4},
         int64[1] last = {3}> {
            twice = Concat <axis = -1> (angles, angles)
            c = Cos (twice)
            s = Sin (twice)
            cos = Unsqueeze (c, one)
            sin = Unsqueeze (s, one)
            first = Slice (x, zero, two, last)
            second = Slice (x, two, four, last)
            minus = Neg (second)
            turned = Concat <axis = -1> (minus, first)
            straight = Mul (x, cos)
            across = Mul (turned, sin)
            y = Add (straight, across)
        }

    After::

        < ir_version: 11, opset_import: ["" : 23] >
        g (float[N, 2, S, 4] x, float[N, S, 2] angles) => (float[N, 2, S, 4] y)
        <float[] y_Cos, float[] y_Sin> {
            y_Cos = Cos (angles)
            y_Sin = Sin (angles)
            y = RotaryEmbedding (x, y_Cos, y_Sin)
        }

    Where x was split into heads right before, it is turned before that (``num_heads``).
    """

    name: ClassVar[str] = "fuse-rotary-embedding"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fold-shapes")
    anchors: ClassVar[frozenset[str]] = frozenset({"Neg"})

    def matcher(self, model: ir.Model) -> Matcher:
        """Follow the sizes through the model, once."""
        from irconv.graph.symbolic.sizes import Sizes
        from irconv.passes.fusions.rotary.place import fused_rotation

        sizes = Sizes(model)

        def match(node: ir.Node, scope: Scope) -> Fused | None:
            return fused_rotation(node, scope, sizes)

        return match
