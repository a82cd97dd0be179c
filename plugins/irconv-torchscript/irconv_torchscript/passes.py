"""The plugin's own pass: what has no builder, by the function bodies of the ONNX standard."""

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

    The bodies are those of the ONNX standard, so the meaning stays. A node without a body stays,
    and is refused later by name.

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
        from irconv_torchscript.registry import refusal

        del context
        expanded, stayed = expand_nodes(model, lambda node: not refusal(node).ok)
        refusals = tuple(Refusal(node.name or "", node.op_type, why) for node, why in stayed)
        return PassResult(bool(expanded), {"expanded": dict(Counter(expanded))}, refusals)
