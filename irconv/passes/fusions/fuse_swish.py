"""Fusing ``x * Sigmoid(alpha * x)`` into Swish.

By the function body of ONNX Swish (since opset 24; P. Ramachandran, B. Zoph and Q. V. Le,
arXiv:1710.05941). With alpha = 1 it is also called SiLU; with alpha = 1.702 it approximates the
Gaussian error linear unit ("quick GELU").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import operand, other_operand, scaled

__all__ = ["FuseSwish", "swish_at"]


@dataclass(frozen=True)
class FuseSwish(Fusion):
    """Fuse a value times the sigmoid of a multiple of it.

    Before::

        < ir_version: 13, opset_import: ["" : 24] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float alpha = {1.5}> {
            multiple = Mul (x, alpha)
            gate = Sigmoid (multiple)
            y = Mul (gate, x)
        }

    After::

        < ir_version: 13, opset_import: ["" : 24] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Swish <alpha = 1.5> (x)
        }
    """

    name: ClassVar[str] = "fuse-swish"
    anchors: ClassVar[frozenset[str]] = frozenset({"Sigmoid"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the product of a sigmoid and what it is of; see :class:`Fusion`."""
        del scope
        found = swish_at(node)
        if found is None:
            return None
        data, alpha, output = found
        attributes = {"alpha": None if alpha == 1 else alpha}
        return Fused("Swish", [data], [output], attributes, opset=24)


def swish_at(node: ir.Node) -> tuple[ir.Value, float, ir.Value] | None:
    """Return x, alpha and the product where a Sigmoid of alpha * x multiplies x."""
    gate, argument = node.outputs[0], operand(node, 0)
    if argument is None:
        return None
    multiple = scaled(argument)
    for user in {user: None for user, _ in gate.uses()}:
        if user.domain != "" or user.op_type != "Mul":
            continue
        data = other_operand(user, gate)
        if data is argument:
            return data, 1.0, user.outputs[0]
        if data is not None and multiple is not None and data is multiple[0]:
            return data, multiple[1], user.outputs[0]
    return None
