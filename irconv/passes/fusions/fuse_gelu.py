"""Fusing the Gaussian error linear unit and its approximation by tanh into Gelu.

By the function body of ONNX Gelu (since opset 20; D. Hendrycks and K. Gimpel, arXiv:1606.08415)::

    y = x / 2 * (1 + erf(x / sqrt(2)))                                      approximate = "none"
    y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))            approximate = "tanh"

The argument is read as a polynomial in x, and what is made of t = erf(...) or t = tanh(...) as one
in x and t. So no order of the factors matters: exporters put 1/2 in three places, write the cube
as Pow or as products, factor x out of the argument (transformers' ``gelu_fast``), or use erfc
(Keras, where t comes with a minus sign). An approximation by a sigmoid, ``x * Sigmoid(1.702 * x)``,
is what ``fuse-swish`` finds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import operand
from irconv.passes.fusions.polynomial import Polynomial, agrees, climb, leaves, polynomial

__all__ = ["FuseGelu"]

_INNER = math.sqrt(2 / math.pi)
_CUBIC: Polynomial = {(1,): _INNER, (3,): _INNER * 0.044715}


@dataclass(frozen=True)
class FuseGelu(Fusion):
    """Fuse the exact form, by Erf, and the approximation, by Tanh.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float root = {1.4142135}, float one = {1.0}, float half = {0.5}> {
            part = Div (x, root)
            error = Erf (part)
            sum = Add (error, one)
            double = Mul (x, sum)
            y = Mul (double, half)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Gelu (x)
        }
    """

    name: ClassVar[str] = "fuse-gelu"
    anchors: ClassVar[frozenset[str]] = frozenset({"Erf", "Tanh"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the unit around an Erf or Tanh; see :class:`Fusion`."""
        del scope
        inner, near = node.outputs[0], False
        for data in leaves(operand(node, 0)):
            sign = _sign(node, data)
            if sign == 0:
                continue
            near = True
            wanted: Polynomial = {(1, 0): 0.5, (1, 1): 0.5 * sign}
            for output in climb(inner):
                if agrees(polynomial(output, [data, inner]), wanted, data.dtype):
                    approximate = "tanh" if node.op_type == "Tanh" else None
                    attributes = {"approximate": approximate}
                    return Fused("Gelu", [data], [output], attributes, opset=20)
        if near:
            raise Keep(f"what is made of {inner.name!r} is not x / 2 * (1 + {inner.name})")
        return None


def _sign(node: ir.Node, data: ir.Value) -> int:
    """Return 1 or -1 where the node's argument is the unit's, or its negative; else 0."""
    argument = polynomial(operand(node, 0), [data])
    if node.op_type == "Tanh":
        return int(agrees(argument, _CUBIC, data.dtype))
    for sign in (1, -1):
        line: Polynomial = {(1,): sign / math.sqrt(2)}
        if agrees(argument, line, data.dtype):
            return sign
    return 0
