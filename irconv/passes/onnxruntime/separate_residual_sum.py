"""Keeping ONNX Runtime from fusing a residual sum with the normalization behind it.

By default ONNX Runtime makes Add and LayerNormalization one node, SkipLayerNormalization, whose
kernel on the CPU takes many times as long as the two: measured with ONNX Runtime 1.32 on
1 x 128 x 768 floats and one thread, 1.14 ms against 0.07 ms. It looks for Add. ONNX Sum of two
tensors (since opset 1, with broadcasting as of 8) is the same, and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.graph.scopes import Scope
from irconv.passes.base import Effect
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import dims_of, operand

__all__ = ["SeparateResidualSum"]

_RANK = 3


@dataclass(frozen=True)
class SeparateResidualSum(Fusion):
    """Write Sum where Add would be fused with a LayerNormalization.

    That is where both operands are computed, of rank 3 and of the same shape.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, T, 2] x, float[N, T, 2] z) => (float[N, T, 2] y)
        <float[2] scale = {1.0, 2.0}> {
            s = Add (x, z)
            y = LayerNormalization (s, scale)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, T, 2] x, float[N, T, 2] z) => (float[N, T, 2] y)
        <float[2] scale = {1.0, 2.0}> {
            s = Sum (x, z)
            y = LayerNormalization (s, scale)
        }
    """

    name: ClassVar[str] = "separate-residual-sum"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-layer-normalization")
    effect: ClassVar[Effect] = "bit-exact"
    anchors: ClassVar[frozenset[str]] = frozenset({"LayerNormalization"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return Sum in the place of the Add before a normalization; see :class:`Fusion`."""
        del scope
        total = operand(node, 0)
        addition = None if total is None else total.producer()
        if total is None or addition is None or addition.domain != "":
            return None
        operands = [operand(addition, 0), operand(addition, 1)]
        if addition.op_type != "Add" or any(map(is_constant, operands)):
            return None
        first, second = map(dims_of, operands)
        if first is None or first != second or len(first) != _RANK:
            return None
        return Fused("Sum", operands, [total], opset=8)
