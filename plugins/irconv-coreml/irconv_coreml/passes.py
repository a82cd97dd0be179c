"""The plugin's own pass: what MIL lacks, by the function bodies of the ONNX standard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv_coreml.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LegalizeCoreml"]


@dataclass(frozen=True)
class LegalizeCoreml(Pass):
    """Replace each node that cannot be written as MIL by others that mean the same.

    That is its function body of the ONNX standard where there is one, otherwise what irconv's
    own decompositions make of it. A node with neither stays, and is refused later by name.
    Shape inference should have run before.

    Attributes:
        target: The oldest system that the package must run on; newer ones have more operators.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x, float[3, 4] z) => (float[2, 4] y) {
            y = Einsum <equation = "ij,jk->ik"> (x, z)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x, float[3, 4] z) => (float[2, 4] y) {
            y = MatMul(x, z)
        }
    """

    name: ClassVar[str] = "legalize-coreml"
    effect: ClassVar[Effect] = "real-arithmetic"

    target: Target = "iOS17"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace what the checks refuse; linear in nodes."""
        from irconv.graph.function_bodies import expand_nodes
        from irconv.passes.catalog import PASSES
        from irconv.passes.decompose.base import Decomposition, replace_nodes
        from irconv.passes.sites import Sites
        from irconv_coreml.checks import node_support

        sites = Sites(context)
        rules = {
            op_type: rule
            for cls in PASSES
            if issubclass(cls, Decomposition)
            for op_type, rule in cls.rules.items()
        }

        def lacks(node: ir.Node) -> bool:
            support = node_support(node, self.target)
            return not support.ok and support.code not in _ABOUT_VALUES

        expanded, stayed = expand_nodes(
            model, lambda node: node.op_type not in _OURS_FIRST and lacks(node), sites.permit
        )
        result = replace_nodes(model, rules, sites, lacks)
        refusals = [
            Refusal(node.name or "", node.op_type, why)
            for node, why in stayed
            if node.op_type not in rules
        ]
        details = {"expanded": dict(Counter(expanded)), **result.details}
        modified = bool(expanded) or result.modified
        return PassResult(modified, details, (*refusals, *result.refusals), sites.made)


_OURS_FIRST = frozenset({"GridSample", "Resize"})
"""Operators that a decomposition of ours serves better than the body of the standard."""
_ABOUT_VALUES = frozenset(
    {"DYNAMIC_RANK", "EMPTY_TENSOR", "RANK_LIMIT", "UNKNOWN_TYPE", "VALUE_RANGE"}
)
"""Refusals of what flows through a node; other operators would not help."""
