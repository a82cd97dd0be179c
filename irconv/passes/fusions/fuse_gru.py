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

from irconv.passes.fusions.base import Fusion, Matcher
from irconv.passes.fusions.fused import Fused

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
        <float[1, 1] w = {1.0}, float[1, 1] v = {2.0}, float[1, 1] u = {3.0},
         float[1, 1] r = {0.5}, float[1, 1] q = {0.25}, float[1, 1] p = {0.125},
         float[1] b = {0.75}, float one = {1.0}, int64 first = {0}, int64 second = {1}> {
            x0 = Gather (x, first)
            xz0 = Gemm (x0, w)
            sz0 = Gemm (h, r, xz0)
            z0 = Sigmoid (sz0)
            xr0 = Gemm (x0, v)
            sr0 = Gemm (h, q, xr0)
            r0 = Sigmoid (sr0)
            kept0 = Mul (r0, h)
            xn0 = Gemm (x0, u, b)
            sn0 = Gemm (kept0, p, xn0)
            n0 = Tanh (sn0)
            rest0 = Sub (one, z0)
            new0 = Mul (rest0, n0)
            old0 = Mul (z0, h)
            h0 = Add (new0, old0)
            x1 = Gather (x, second)
            xz1 = Gemm (x1, w)
            sz1 = Gemm (h0, r, xz1)
            z1 = Sigmoid (sz1)
            xr1 = Gemm (x1, v)
            sr1 = Gemm (h0, q, xr1)
            r1 = Sigmoid (sr1)
            kept1 = Mul (r1, h0)
            xn1 = Gemm (x1, u, b)
            sn1 = Gemm (kept1, p, xn1)
            n1 = Tanh (sn1)
            rest1 = Sub (one, z1)
            new1 = Mul (rest1, n1)
            old1 = Mul (z1, h0)
            y = Add (new1, old1)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, N, 1] x, float[N, 1] h) => (float[N, 1] y)
        <float[1, 3, 1] y_constant = {1.0, 2.0, 3.0},
         float[1, 3, 1] y_constant_1 = {0.5, 0.25, 0.125},
         float[1, 6] y_constant_2 = {0.0, 0.0, 0.75, 0.0, 0.0, 0.0},
         int64[1] y_constant_3 = {0}, int64[1] y_constant_4 = {0}> {
            y_Unsqueeze = Unsqueeze (h, y_constant_3)
            "", y_GRU = GRU <hidden_size = 1>
                (x, y_constant, y_constant_1, y_constant_2, "", y_Unsqueeze)
            y = Squeeze (y_GRU, y_constant_4)
        }

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
