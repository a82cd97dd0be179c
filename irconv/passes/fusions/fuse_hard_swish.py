"""Fusing ``x * Clip(x + 3, 0, 6) / 6`` into HardSwish.

By the function body of ONNX HardSwish (since opset 14; A. Howard et al., arXiv:1905.02244)::

    y = x * HardSigmoid(x) = x * max(0, min(1, x / 6 + 1 / 2))

The clipped value c is one of a x + b between 0 and h, and the product is s x c with a s = 1/6,
b s = 1/2 and h s = 1. What is made of c is read as a polynomial in x and c, so that it does not
matter where the division by 6 stands, or that it is a multiplication (tf2onnx).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.bounds import clipped
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import number_attribute, operand
from irconv.passes.fusions.polynomial import Polynomial, agrees, climb, leaves, polynomial

__all__ = ["FuseHardSwish"]


@dataclass(frozen=True)
class FuseHardSwish(Fusion):
    """Fuse a value times its hard sigmoid, which may be a Clip or a HardSigmoid.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float zero = {0.0}, float three = {3.0}, float six = {6.0}> {
            sum = Add (x, three)
            clipped = Clip (sum, zero, six)
            product = Mul (x, clipped)
            y = Div (product, six)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = HardSwish (x)
        }
    """

    name: ClassVar[str] = "fuse-hard-swish"
    anchors: ClassVar[frozenset[str]] = frozenset({"Clip", "Max", "Min", "HardSigmoid"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the product around a clipped value; see :class:`Fusion`."""
        del scope
        found = _gate(node)
        if found is None:
            return None
        data, scale = found
        gate = node.outputs[0]
        for output in climb(gate):
            if agrees(polynomial(output, [data, gate]), {(1, 1): scale}, data.dtype):
                return Fused("HardSwish", [data], [output], opset=14)
        return None


def _gate(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Return x and s where s times the output is the hard sigmoid of x."""
    if node.op_type == "HardSigmoid":
        data = operand(node, 0)
        line: Polynomial = {
            (1,): number_attribute(node, "alpha", 0.2),
            (0,): number_attribute(node, "beta", 0.5),
        }
        is_it = data is not None and agrees(line, {(1,): 1 / 6, (0,): 0.5}, data.dtype)
        return (data, 1.0) if data is not None and is_it else None
    bounds = clipped(node)
    if bounds is None or bounds[1] != 0 or not bounds[2] > 0:
        return None
    inner, _, high = bounds
    for data in leaves(inner):
        if agrees(polynomial(inner, [data]), {(1,): high / 6, (0,): high / 2}, data.dtype):
            return data, 1 / high
    return None
