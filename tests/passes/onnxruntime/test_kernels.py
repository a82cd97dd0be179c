"""ONNX Runtime leaves alone what was written so that it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from irconv.passes.base import PassContext
from irconv.passes.onnxruntime.lower_group_normalization import LowerGroupNormalization
from irconv.passes.onnxruntime.separate_residual_sum import SeparateResidualSum

RESIDUAL = """
< ir_version: 10, opset_import: ["" : 20] >
g (float[1, 8, 64] x, float[1, 8, 64] z) => (float[1, 8, 64] y) {
    s = Add (x, z)
    y = LayerNormalization (s, scale, bias)
}
"""
OLD_GROUPS = """
< ir_version: 10, opset_import: ["" : 18] >
g (float[N, 4, 3] x, float[2] s) => (float[N, 4, 3] y) {
    y = GroupNormalization <num_groups = 2> (x, s, s)
}
"""


def optimized(model: ir.Model, path: Path) -> set[str]:
    """Return the operators of a model after ONNX Runtime's own optimizer."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return {node.op_type for node in onnx.load(path).graph.node}


def test_a_sum_is_not_fused(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(RESIDUAL)
    for name in ("scale", "bias"):
        array = np.linspace(0, 1, 64, dtype=np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model = ir.from_proto(proto)
    assert optimized(model, tmp_path / "before.onnx") == {"SkipLayerNormalization"}
    assert SeparateResidualSum().run(model, PassContext()).modified
    assert optimized(model, tmp_path / "after.onnx") == {"Sum", "LayerNormalization"}


def test_a_scale_of_the_groups_is_refused() -> None:
    result = LowerGroupNormalization().run(ir.from_onnx_text(OLD_GROUPS), PassContext())
    assert not result.modified
    assert [item.reason for item in result.refusals] == [
        "below opset 21 its scale is of the groups"
    ]
