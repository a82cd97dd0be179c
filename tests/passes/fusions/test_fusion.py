"""What the base of the fusions promises, shown by a fusion of two outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.base import PassContext
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fuse_swish import FuseSwish
from irconv.passes.fusions.fused import Fused
from irconv.passes.manager import PassManager


@dataclass(frozen=True)
class FuseSumNorm(Fusion):
    """Add and LayerNormalization, where the sum is wanted too."""

    name: ClassVar[str] = "fuse-sum-norm"
    anchors: ClassVar[frozenset[str]] = frozenset({"LayerNormalization"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        total, scale = node.inputs
        addition = None if total is None else total.producer()
        if total is None or addition is None or addition.op_type != "Add":
            return None
        return Fused(
            "SkipLayerNormalization",
            [*addition.inputs, scale, np.zeros(2, np.float32)],
            [node.outputs[0], None, None, total],
            {"epsilon": 1e-5, "nothing": None},
            domain="com.microsoft",
            before=addition,
        )


TEXT = """
< ir_version: 10, opset_import: ["" : 20] >
g (float[1, 3, 2] x, float[1, 3, 2] z) => (float[1, 3, 2] y, float[1, 3, 2] s, float[1, 3, 2] r)
< float[2] scale = {1.0, 2.0} > {
    s = Add (x, z)
    r = Relu (s)
    y = LayerNormalization (s, scale)
}
"""


def test_two_outputs_and_a_new_constant(kit) -> None:
    before, model = ir.from_onnx_text(TEXT), ir.from_onnx_text(TEXT)
    node = model.graph[2]
    node.name, node.metadata_props["origin"] = "norm", "layer 1"
    result = PassManager([FuseSumNorm()], strict=True).run(model)
    assert result.modified
    fused, relu = result.model.graph
    assert (fused.name, fused.metadata_props["origin"]) == ("norm", "layer 1")
    assert [value.name for value in fused.outputs] == ["y", "", "", "s"]
    assert relu.inputs[0] is fused.outputs[3]
    assert set(fused.attributes) == {"epsilon"}
    assert set(result.model.graph.initializers) == {"scale", "y_constant"}
    assert result.model.opset_imports["com.microsoft"] == 1
    onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    kit.same_outputs(before, result.model, exact=False)


def test_a_model_that_redefines_operators_is_left_alone() -> None:
    text = """
    < ir_version: 13, opset_import: ["" : 24] >
    g (float[2] x) => (float[2] y) {
        gate = Sigmoid (x)
        y = Mul (x, gate)
    }
    < domain: "", opset_import: ["" : 24] >
    Sigmoid (a) => (b) { b = Neg (a) }
    """
    result = FuseSwish().run(ir.from_onnx_text(text), PassContext())
    assert not result.modified
    (refusal,) = result.refusals
    assert "defines operators of the default domain" in refusal.reason
