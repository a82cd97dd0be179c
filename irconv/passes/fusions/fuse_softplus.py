"""Fusing ``Log(1 + Exp(x))`` into Softplus.

By the function body of ONNX Softplus (since opset 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.base import Fused, Fusion
from irconv.passes.fusions.pattern import made_by, operand, shifted

__all__ = ["FuseSoftplus"]


@dataclass(frozen=True)
class FuseSoftplus(Fusion):
    """Fuse the logarithm of 1 plus an exponential.

    The exponential overflows where x is large, and the operator does not.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float one = {1.0}> {
            power = Exp (x)
            sum = Add (power, one)
            y = Log (sum)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Softplus (x)
        }
    """

    name: ClassVar[str] = "fuse-softplus"
    anchors: ClassVar[frozenset[str]] = frozenset({"Log"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator in the place of a logarithm; see :class:`Fusion`."""
        del scope
        total = shifted(operand(node, 0))
        if total is None or total[1] != 1:
            return None
        power = made_by(total[0], "Exp")
        data = None if power is None else operand(power, 0)
        return None if data is None else Fused("Softplus", [data], [node.outputs[0]])
