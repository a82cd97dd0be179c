"""Inlining of local functions: each call becomes the nodes of the function's body.

A call means its body with the call's inputs and attributes put in (ONNX IR specification,
section "Functions"), so inlining changes no number. Targets without functions need it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from irconv.errors import InputError
from irconv.graph.expansion import expanded_node_count
from irconv.graph.names import NameAllocator
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass, PassContext, PassResult

__all__ = ["InlineFunctions"]

_MOST_NODES = 2_000_000


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Replace every call of a local function by the function's body, and drop the functions.

    Before::

        <ir_version: 10, opset_import: ["" : 20, "local" : 1]>
        example (float[N, 4] x) => (float[N, 4] y) {
            y = local.twice(x)
        }
        <domain: "local", opset_import: ["" : 20]>
        twice (a) => (b) {
            b = Add(a, a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20, "local" : 1]>
        example (float[N, 4] x) => (float[N, 4] y) {
            y = Add(x, x)
        }
    """

    name: ClassVar[str] = "inline-functions"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Inline all calls, in time linear in the nodes of the result; the pass has no sites.

        Raises:
            InputError: If the functions expand to more than two million nodes.
        """
        del context
        if not model.functions:
            return PassResult(False)
        count = expanded_node_count(model)
        if count is None or count > _MOST_NODES:
            raise InputError(
                f"the model's functions expand to more than {_MOST_NODES} nodes",
                where=f"pass {self.name}",
                hint="export the model without local functions",
            )
        calls = Counter(
            str(node.op_type)
            for node in all_nodes(model)
            if node.op_identifier() in model.functions
        )
        InlinePass()(model)
        model.functions.clear()
        _name_nodes(model)
        return PassResult(True, {"inlined": dict(calls)})


def _name_nodes(model: ir.Model) -> None:
    """Give the inlined nodes names of their own; a body inlined twice repeats its names."""
    names = NameAllocator(model)
    seen: set[str] = set()
    for node in all_nodes(model):
        if not node.name or node.name in seen:
            node.name = names.fresh(node.name or node.op_type)
        seen.add(node.name)
