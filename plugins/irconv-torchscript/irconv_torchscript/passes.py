"""The plugin's own pass: what has no builder, by function bodies and decompositions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LegalizeTorchscript"]


@dataclass(frozen=True)
class LegalizeTorchscript(Pass):
    """Replace each node that no torch operator computes by its function body.

    The bodies are those of the ONNX standard, so the meaning stays. What has no body is made of
    simpler operators by the shared decompositions; a node for which there is none stays, and is
    refused later by name.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[N, 4] x, float[N, 4] gate) => (float[N, 4] y) {
            y = SwiGLU(x, gate)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[N, 4] x, float[N, 4] gate) => (float[N, 4] y) {
            "SwiGLU/SwishGate" = Swish <alpha = 1.0> (x)
            y = Mul("SwiGLU/SwishGate", gate)
        }
    """

    name: ClassVar[str] = "legalize-torchscript"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand what has no builder; linear in nodes."""
        from irconv.graph.function_bodies import expand_nodes
        from irconv.passes.decompose.base import replace_nodes
        from irconv.passes.decompose.resampling import DecomposeResampling
        from irconv.passes.decompose.signal import DecomposeSignal
        from irconv.passes.decompose.vision import DecomposeVision
        from irconv.passes.sites import Sites
        from irconv_torchscript.registry import refusal

        sites = Sites(context)
        rules = {**DecomposeResampling.rules, **DecomposeSignal.rules, **DecomposeVision.rules}
        expanded, stayed = expand_nodes(model, lambda node: not refusal(node).ok, sites.permit)
        replaced = replace_nodes(model, rules, sites, lambda node: not refusal(node).ok)
        refusals = [
            Refusal(node.name or "", node.op_type, why)
            for node, why in stayed
            if node.op_type not in rules
        ]
        return PassResult(
            bool(expanded) or replaced.modified,
            {"expanded": dict(Counter(expanded)), **replaced.details},
            (*refusals, *replaced.refusals),
            sites.made,
        )
