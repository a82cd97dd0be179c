"""Operators on signals in terms of matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.fourier import dft, stft

__all__ = ["DecomposeSignal"]


@dataclass(frozen=True)
class DecomposeSignal(Decomposition):
    """Replace DFT and STFT of static length by products with cosines and sines.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 1] x) => (float[N, 2, 2] y) {
            y = DFT(x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 2, 1] x) => (float[N, 2, 2] y)
        <int64 y_Constant, float[N, 2] y_Gather, float[2, 2] y_Constant_1, float[N, 2] y_MatMul,
         float[2, 2] y_Constant_2, float[N, 2] y_MatMul_1, float[N, 2] y_Neg, int64[1]
         y_Constant_3, float[N, 2, 1] y_Unsqueeze, float[N, 2, 1] y_Unsqueeze_1> {
            y_Constant = Constant <value = int64 {0}> ()
            y_Gather = Gather <axis = -1> (x, y_Constant)
            y_Constant_1 = Constant <value = float[2, 2] {1, 1, 1, -1}> ()
            y_MatMul = MatMul(y_Gather, y_Constant_1)
            y_Constant_2 = Constant <value = float[2, 2] {0, 0, 0, 0}> ()
            y_MatMul_1 = MatMul(y_Gather, y_Constant_2)
            y_Neg = Neg(y_MatMul_1)
            y_Constant_3 = Constant <value = int64[1] {-1}> ()
            y_Unsqueeze = Unsqueeze(y_MatMul, y_Constant_3)
            y_Unsqueeze_1 = Unsqueeze(y_Neg, y_Constant_3)
            y = Concat <axis = -1> (y_Unsqueeze, y_Unsqueeze_1)
        }
    """

    name: ClassVar[str] = "decompose-signal"
    rules: ClassVar[Mapping[str, Rule]] = {"DFT": dft, "STFT": stft}
