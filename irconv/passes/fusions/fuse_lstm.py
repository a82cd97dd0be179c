"""Fusing the steps of an unrolled LSTM into the LSTM operator.

By the equations of ONNX LSTM (since opset 7), with the default activations, step t of a sequence
x is, where each gate g has weights W, R and biases::

    g = x_t W^T + H R^T + b      C = sigmoid(f) ⊙ C' + sigmoid(i) ⊙ tanh(c)
    H = sigmoid(o) ⊙ tanh(C)

PyTorch's exporters write this for each call of an ``LSTMCell``, Keras for ``LSTM(unroll=True)``.
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

__all__ = ["FuseLstm"]


@dataclass(frozen=True)
class FuseLstm(Fusion):
    """Fuse two or more steps of an LSTM over one sequence.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, N, 1] x, float[N, 1] h, float[N, 1] c) => (float[N, 1] y, float[N, 1] z)
        <float[1, 4] w = {1.0, 2.0, 3.0, 4.0}, float[1, 4] r = {0.5, 0.25, 0.125, 1.0},
         int64[4] ones = {1, 1, 1, 1}, int64 first = {0}, int64 second = {1},
         float[N, 4] s0, float[N, 4] s1> {
            x0 = Gather (x, first)
            u0 = Gemm (x0, w)
            s0 = Gemm (h, r, u0)
            i0, f0, g0, o0 = Split <axis = 1> (s0, ones)
            si0 = Sigmoid (i0)
            sf0 = Sigmoid (f0)
            tg0 = Tanh (g0)
            so0 = Sigmoid (o0)
            kept0 = Mul (sf0, c)
            new0 = Mul (si0, tg0)
            c0 = Add (kept0, new0)
            t0 = Tanh (c0)
            h0 = Mul (so0, t0)
            x1 = Gather (x, second)
            u1 = Gemm (x1, w)
            s1 = Gemm (h0, r, u1)
            i1, f1, g1, o1 = Split <axis = 1> (s1, ones)
            si1 = Sigmoid (i1)
            sf1 = Sigmoid (f1)
            tg1 = Tanh (g1)
            so1 = Sigmoid (o1)
            kept1 = Mul (sf1, c0)
            new1 = Mul (si1, tg1)
            z = Add (kept1, new1)
            t1 = Tanh (z)
            y = Mul (so1, t1)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[2, N, 1] x, float[N, 1] h, float[N, 1] c) => (float[N, 1] y, float[N, 1] z)
        <float[1, 4, 1] y_constant = {1.0, 4.0, 2.0, 3.0},
         float[1, 4, 1] y_constant_1 = {0.5, 1.0, 0.25, 0.125},
         int64[1] y_constant_2 = {0}, int64[1] y_constant_3 = {0},
         int64[1] y_constant_4 = {0}, int64[1] y_constant_5 = {0}> {
            y_Unsqueeze = Unsqueeze (h, y_constant_2)
            y_Unsqueeze_1 = Unsqueeze (c, y_constant_3)
            "", y_LSTM, y_LSTM_1 = LSTM <hidden_size = 1>
                (x, y_constant, y_constant_1, "", "", y_Unsqueeze, y_Unsqueeze_1)
            y = Squeeze (y_LSTM, y_constant_4)
            z = Squeeze (y_LSTM_1, y_constant_5)
        }

    Hidden states that are stacked again are Y as a whole; others are taken out of it. A first step
    of which constants folded away the state is one of the steps; one that is another is left.
    """

    name: ClassVar[str] = "fuse-lstm"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fold-shapes")
    anchors: ClassVar[frozenset[str]] = frozenset({"Mul"})

    def matcher(self, model: ir.Model) -> Matcher:
        """Find all steps, and follow the sizes through the model, once."""
        from irconv.graph.symbolic.sizes import Sizes
        from irconv.passes.fusions.recurrent.chain import Cells, chain_of
        from irconv.passes.fusions.recurrent.lstm_cell import lstm_cell, lstm_sums
        from irconv.passes.fusions.recurrent.operator import recurrent_operator

        cells, sizes = Cells(model, lstm_cell), Sizes(model)

        def match(node: ir.Node, scope: Scope) -> Fused | None:
            steps = cells.ending_at(node)
            if not steps:
                return None
            return recurrent_operator("LSTM", chain_of(steps, lstm_sums), scope, sizes)

        return match
