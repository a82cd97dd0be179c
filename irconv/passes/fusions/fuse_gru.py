"""Fusing the steps of an unrolled GRU into the GRU operator.

By the equations of ONNX GRU (since opset 7), with the default activations, step t of a sequence x
is, where each gate g has weights W, R and biases b and d::

    z = sigmoid(x_t W^T + H' R^T + b)          r likewise          H = (1 - z) ⊙ h + z ⊙ H'
    h = tanh(x_t W^T + (r ⊙ H') R^T + b)       or, with linear_before_reset,
    h = tanh(x_t W^T + r ⊙ (H' R^T + d) + b)

PyTorch's exporters write this for each call of an ``GRUCell``, Keras for ``GRU(unroll=True)``.
How the gates are computed is told apart in :mod:`irconv.passes.fusions.recurrent.affine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.fusions.base import Fused, Fusion, Matcher

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.graph.scopes import Scope

__all__ = ["FuseGru"]


@dataclass(frozen=True)
class FuseGru(Fusion):
    """Fuse two or more steps of a GRU over one sequence.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, N, 1] x, float[N, 1] h) => (float[N, 1] y)
        <float[1, 3] w = {1.0, 2.0, 3.0}, float[1, 3] r = {0.5, 0.25, 0.125},
         int64[3] ones = {1, 1, 1}, int64 first = {0}, int64 second = {1}> {
            x0 = Gather (x, first)
            u0 = MatMul (x0, w)
            xr0, xz0, xn0 = Split <axis = 1> (u0, ones)
            v0 = MatMul (h, r)
            hr0, hz0, hn0 = Split <axis = 1> (v0, ones)
            sr0 = Add (xr0, hr0)
            r0 = Sigmoid (sr0)
            sz0 = Add (xz0, hz0)
            z0 = Sigmoid (sz0)
            p0 = Mul (hn0, r0)
            sn0 = Add (xn0, p0)
            n0 = Tanh (sn0)
            d0 = Sub (h, n0)
            m0 = Mul (d0, z0)
            h0 = Add (m0, n0)
            x1 = Gather (x, second)
            u1 = MatMul (x1, w)
            xr1, xz1, xn1 = Split <axis = 1> (u1, ones)
            v1 = MatMul (h0, r)
            hr1, hz1, hn1 = Split <axis = 1> (v1, ones)
            sr1 = Add (xr1, hr1)
            r1 = Sigmoid (sr1)
            sz1 = Add (xz1, hz1)
            z1 = Sigmoid (sz1)
            p1 = Mul (hn1, r1)
            sn1 = Add (xn1, p1)
            n1 = Tanh (sn1)
            d1 = Sub (h0, n1)
            m1 = Mul (d1, z1)
            y = Add (m1, n1)
        }

    After::

        AFTER

    Hidden states that are stacked again are Y as a whole; others are taken out of it. A first step
    of which constants folded away the state is one of the steps; one that is another is left.
    """

    name: ClassVar[str] = "fuse-gru"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fold-shapes")
    anchors: ClassVar[frozenset[str]] = frozenset({"Add"})

    def matcher(self, model: ir.Model) -> Matcher:
        """Find all steps, and follow the sizes through the model, once."""
        from irconv.graph.symbolic.sizes import Sizes
        from irconv.passes.fusions.recurrent.chain import Cells, chain_of
        from irconv.passes.fusions.recurrent.gru_cell import gru_cell, gru_sums
        from irconv.passes.fusions.recurrent.operator import recurrent_operator

        cells, sizes = Cells(model, gru_cell), Sizes(model)

        def match(node: ir.Node, scope: Scope) -> Fused | None:
            steps = cells.ending_at(node)
            if not steps:
                return None
            return recurrent_operator("GRU", chain_of(steps, gru_sums), scope, sizes)

        return match
