"""What TensorRT-RTX lacks, by function bodies of the ONNX standard and by decompositions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.decompose.base import Rule

__all__ = ["LegalizeTrt"]

_HELPED = frozenset({"UNSUPPORTED_ATTRIBUTE", "UNSUPPORTED_OP", "UNSUPPORTED_OUTPUT"})
"""Why a node may be refused that other nodes can stand in for."""


@dataclass(frozen=True)
class LegalizeTrt(Pass):
    """Replace each node that TensorRT-RTX refuses by others that it takes.

    First come the function bodies of the ONNX standard, then irconv's own decompositions, so the
    meaning stays. A node with neither stays, and is refused later by name.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 2] x) => (float y) {
            y = Det(x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 2] x) => (float y)
        <int64 y_Constant, float[2] y_Gather, int64 y_Constant_1, float y_Gather_1,
         float[2] y_Gather_2, float y_Gather_3, float[2] y_Gather_4, float y_Gather_5,
         float y_Mul, float[2] y_Gather_6, float y_Gather_7, float y_Mul_1> {
            y_Constant = Constant <value = int64 {1}>()
            y_Gather = Gather <axis = -2>(x, y_Constant)
            y_Constant_1 = Constant <value = int64 {0}>()
            y_Gather_1 = Gather <axis = -1>(y_Gather, y_Constant_1)
            y_Gather_2 = Gather <axis = -2>(x, y_Constant)
            y_Gather_3 = Gather <axis = -1>(y_Gather_2, y_Constant)
            y_Gather_4 = Gather <axis = -2>(x, y_Constant_1)
            y_Gather_5 = Gather <axis = -1>(y_Gather_4, y_Constant_1)
            y_Mul = Mul(y_Gather_5, y_Gather_3)
            y_Gather_6 = Gather <axis = -2>(x, y_Constant_1)
            y_Gather_7 = Gather <axis = -1>(y_Gather_6, y_Constant)
            y_Mul_1 = Mul(y_Gather_7, y_Gather_1)
            y = Sub(y_Mul, y_Mul_1)
        }
    """

    name: ClassVar[str] = "legalize-trt"
    after: ClassVar[tuple[str, ...]] = ("expand-functions", "infer-shapes")
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand or decompose what the table of refusals names; linear in nodes."""
        from irconv.graph.function_bodies import expand_nodes
        from irconv.passes.decompose.base import replace_nodes
        from irconv.passes.sites import Sites

        sites = Sites(context)
        expanded, stayed = expand_nodes(model, _would_help, sites.permit)
        kept = {id(node): Refusal(node.name or "", node.op_type, why) for node, why in stayed}
        decomposed = replace_nodes(model, _rules(), sites, _would_help)
        refusals = [kept[id(node)] for node, _ in stayed if node.graph is not None]
        counts = {"expanded": dict(Counter(expanded)), **decomposed.details}
        modified = bool(expanded) or decomposed.modified
        return PassResult(modified, counts, (*refusals, *decomposed.refusals), sites.made)


def _would_help(node: ir.Node) -> bool:
    from irconv_trt.support import support_of

    support = support_of(node, ())
    return not support.ok and support.code in _HELPED


def _rules() -> dict[str, Rule]:
    """Return the rules of every family of decompositions that irconv has."""
    from irconv.passes.catalog import PASSES
    from irconv.passes.decompose.base import Decomposition

    families = [cls for cls in PASSES if issubclass(cls, Decomposition)]
    return {op_type: rule for family in families for op_type, rule in family.rules.items()}
