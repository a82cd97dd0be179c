"""Fusing a line that is clipped, and perhaps scaled, into HardSigmoid.

By the function body of ONNX HardSigmoid (since opset 6)::

    y = max(0, min(1, alpha * x + beta))

With c = a x + b held between 0 and h, and y = c / h, alpha is a / h and beta is b / h; tf2onnx
writes MobileNetV3's as Clip(x + 3, 0, 6) * (1 / 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.bounds import clipped
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.polynomial import agrees, climb, leaves, polynomial

__all__ = ["FuseHardSigmoid"]

_POWERS = {(0,), (1,)}


@dataclass(frozen=True)
class FuseHardSigmoid(Fusion):
    """Fuse a line between 0 and 1.

    A value that is only clipped, with no number multiplied or added, is left alone.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float zero = {0.0}, float three = {3.0}, float four = {4.0}> {
            sum = Add (x, three)
            clipped = Clip (sum, zero, four)
            y = Div (clipped, four)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = HardSigmoid <alpha = 0.25, beta = 0.75> (x)
        }
    """

    name: ClassVar[str] = "fuse-hard-sigmoid"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-hard-swish")
    anchors: ClassVar[frozenset[str]] = frozenset({"Clip", "Max", "Min"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator around a clipped value; see :class:`Fusion`."""
        del scope
        bounds = clipped(node)
        if bounds is None or bounds[1] != 0 or not bounds[2] > 0:
            return None
        inner, _, high = bounds
        for data in reversed(list(leaves(inner))[1:]):
            line = polynomial(inner, [data])
            if line is None or not line.keys() <= _POWERS or not line.get((1,)):
                continue
            output = _quotient(node.outputs[0], high, data.dtype)
            attributes = {"alpha": line[1,] / high, "beta": line.get((0,), 0.0) / high}
            if output is not None:
                return Fused("HardSigmoid", [data], [output], attributes, opset=6)
        return None


def _quotient(value: ir.Value, divisor: float, dtype: ir.DataType | None) -> ir.Value | None:
    """Return what is ``value`` / ``divisor``: itself, or what one operation makes of it."""
    if divisor == 1:
        return value
    for quotient in climb(value, steps=1):
        if agrees(polynomial(quotient, [value]), {(1,): 1 / divisor}, dtype):
            return quotient
    return None
