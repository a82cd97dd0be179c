"""Expansion of operators into the function bodies that the ONNX standard defines for them.

A function operator *is* its body: the standard defines, say, ``Celu(x) = alpha * Elu(x/alpha)``
by a graph of simpler operators (ONNX IR specification, section "Functions"). A target that has
the simpler ones needs no rule for the operator itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.function_bodies import expand_nodes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites

__all__ = ["ExpandFunctions"]


@dataclass(frozen=True)
class ExpandFunctions(Pass):
    """Replace the named operators of the default domain by their function bodies.

    A named operator inside the body of another one is expanded too.

    Attributes:
        ops: Operator types to expand.

    Before::

        <ir_version: 10, opset_import: ["" : 21]>
        example (float[N, 4] x) => (float[N, 4] y) {
            a = Relu(x)
            y = HardSwish(a)
        }

    After ``expand-functions{ops=HardSwish}``::

        <ir_version: 10, opset_import: ["" : 21]>
        example (float[N, 4] x) => (float[N, 4] y) {
            a = Relu(x)
            "HardSwish/HS_X" = HardSigmoid <alpha = 0.16666667163372039794921875, beta = 0.5> (a)
            y = Mul(a, "HardSwish/HS_X")
        }
    """

    name: ClassVar[str] = "expand-functions"
    effect: ClassVar[Effect] = "real-arithmetic"

    ops: tuple[str, ...] = ()

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand every node of the named operators; linear in nodes, old and new."""
        wanted, sites = frozenset(self.ops), Sites(context)
        expanded: list[str] = []
        refused: list[tuple[ir.Node, str]] = []
        for _ in range(len(wanted) + 1):
            found, refused = expand_nodes(
                model, lambda node: node.domain == "" and node.op_type in wanted, sites.permit
            )
            expanded += found
            if not found:
                break
        refusals = tuple(Refusal(node.name or "", node.op_type, why) for node, why in refused)
        details = {"expanded": dict(Counter(expanded))}
        return PassResult(bool(expanded), details, refusals, sites.made)
