"""What TFLite refuses, by the core's decompositions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.passes.base import Effect, Pass, PassContext, PassResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

    from irconv.passes.decompose.base import Rule

__all__ = ["DecomposeForTflite"]


@dataclass(frozen=True)
class DecomposeForTflite(Pass):
    """Replace each node that TFLite refuses, and the core knows a decomposition of.

    A node that some emitter takes as it stands is left alone, so CumSum stays CUMSUM where its
    dtype allows that.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[2, 3] x, int64[2, 3] i) => (float[2, 3] y) {
            y = GatherElements <axis = 1> (x, i)
            z = Relu(y)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[2, 3] x, int64[2, 3] i) => (float[2, 3] y) {
            z = Relu(y)
        }
    """

    name: ClassVar[str] = "decompose-for-tflite"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace what the emitters refuse; linear in nodes, old and new."""
        from irconv.passes.decompose.base import replace_nodes
        from irconv_tflite.emit.lower import refusal_of

        del context
        return replace_nodes(model, _rules(), lambda node: refusal_of(node) is not None)


def _rules() -> Mapping[str, Rule]:
    from irconv.passes.decompose.einsum import DecomposeEinsum
    from irconv.passes.decompose.indexing import DecomposeIndexing
    from irconv.passes.decompose.quantized import DecomposeQuantized
    from irconv.passes.decompose.resampling import DecomposeResampling

    families = (DecomposeEinsum, DecomposeIndexing, DecomposeQuantized, DecomposeResampling)
    return {op_type: rule for family in families for op_type, rule in family.rules.items()}
