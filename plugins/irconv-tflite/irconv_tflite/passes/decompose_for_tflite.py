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

    A node that some emitter takes as it stands is left alone, so CumSum becomes CUMSUM where its
    dtype allows that.

    Before::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[2, 3] x) => (float[2, 3] y) {
            y = Hardmax(x)
        }

    After::

        <ir_version: 13, opset_import: ["" : 28]>
        example (float[2, 3] x) => (float[2, 3] y)
        <int64[2, 1] y_ArgMax, int64[3] y_Constant, int64[1] y_Constant_1,
         int64[1, 3] y_Unsqueeze, bool[2, 3] y_Equal> {
            y_ArgMax = ArgMax <axis = 1, keepdims = 1> (x)
            y_Constant = Constant <value = int64[3] {0, 1, 2}> ()
            y_Constant_1 = Constant <value = int64[1] {0}> ()
            y_Unsqueeze = Unsqueeze(y_Constant, y_Constant_1)
            y_Equal = Equal(y_Unsqueeze, y_ArgMax)
            y = Cast <to = 1> (y_Equal)
        }
    """

    name: ClassVar[str] = "decompose-for-tflite"
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace what the emitters refuse; linear in nodes, old and new."""
        from irconv.passes.decompose.base import replace_nodes
        from irconv.passes.sites import Sites
        from irconv_tflite.emit.lower import refusal_of

        return replace_nodes(
            model, _rules(), Sites(context), lambda node: refusal_of(node) is not None
        )


def _rules() -> Mapping[str, Rule]:
    from irconv.passes.decompose.einsum import DecomposeEinsum
    from irconv.passes.decompose.indexing import DecomposeIndexing
    from irconv.passes.decompose.quantized import DecomposeQuantized
    from irconv.passes.decompose.recurrent import DecomposeRecurrent
    from irconv.passes.decompose.resampling import DecomposeResampling
    from irconv.passes.decompose.scan import DecomposeScan
    from irconv.passes.decompose.signal import DecomposeSignal
    from irconv.passes.decompose.vision import DecomposeVision

    families = (
        DecomposeEinsum,
        DecomposeIndexing,
        DecomposeQuantized,
        DecomposeRecurrent,
        DecomposeResampling,
        DecomposeScan,
        DecomposeSignal,
        DecomposeVision,
    )
    return {op_type: rule for family in families for op_type, rule in family.rules.items()}
