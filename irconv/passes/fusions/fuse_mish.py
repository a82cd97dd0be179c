"""Fusing ``x * Tanh(Softplus(x))`` into Mish.

By the function body of ONNX Mish (since opset 18; D. Misra, arXiv:1908.08681).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import operand, other_operand

__all__ = ["FuseMish"]


@dataclass(frozen=True)
class FuseMish(Fusion):
    """Fuse a value times the tanh of its softplus.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            soft = Softplus (x)
            gate = Tanh (soft)
            y = Mul (x, gate)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Mish (x)
        }
    """

    name: ClassVar[str] = "fuse-mish"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-softplus")
    anchors: ClassVar[frozenset[str]] = frozenset({"Softplus"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the product around a softplus; see :class:`Fusion`."""
        del scope
        data = operand(node, 0)
        for gate, _ in node.outputs[0].uses():
            if gate.domain != "" or gate.op_type != "Tanh":
                continue
            for product, _ in gate.outputs[0].uses():
                if product.domain != "" or product.op_type != "Mul" or data is None:
                    continue
                if other_operand(product, gate.outputs[0]) is data:
                    return Fused("Mish", [data], [product.outputs[0]], opset=18)
        return None
