"""Resize of constants, against ONNX Runtime; and what is refused before it is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from irconv.graph.evaluate import EvaluationError, predict
from irconv.passes.composed import evaluate_parts

GRID = np.random.default_rng(0).standard_normal((1, 3, 5, 4)).astype(np.float32)
SIZES = np.array([1, 3, 8, 7], np.int64)
NOTHING = np.array([], np.float32)


def run(
    arrays: list[Any], version: int = 17, max_bytes: int = 1 << 20, **attributes: Any
) -> np.ndarray:
    """Evaluate Resize of ``arrays``, of which None is an absent input."""
    inputs = [None if x is None else ir.Value(name=f"x{i}") for i, x in enumerate(arrays)]
    node = ir.node("Resize", inputs, attributes, outputs=[ir.Value(name="y")])
    tensors = [None if array is None else ir.tensor(array) for array in arrays]
    opsets = {"": version}
    prediction = predict(node, tensors, opsets)
    return evaluate_parts(node, prediction, tensors, opsets, max_bytes)["y"]


@pytest.mark.parametrize("version", [11, 13, 18, 19])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "transformation", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
)
def test_as_onnx_runtime(version: int, mode: str, transformation: str) -> None:
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transformation}
    node = onnx.helper.make_node("Resize", ["x", "roi", "none", "sizes"], ["y"], **attributes)
    constants = {"roi": NOTHING, "none": NOTHING, "sizes": SIZES}
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, GRID.shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = onnx.helper.make_opsetid("", version)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, {"x": GRID})
    found = run([GRID, NOTHING, NOTHING, SIZES], version, **attributes)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("version", "max_bytes", "attributes", "reason"),
    [
        (18, 1 << 20, {"antialias": 1, "mode": "linear"}, "aliasing"),
        (11, 1 << 20, {"coordinate_transformation_mode": "tf_half_pixel_for_nn"}, "is unknown"),
        (17, 100, {"mode": "cubic"}, "in between"),
    ],
)
def test_refusals(version: int, max_bytes: int, attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason):
        run([GRID, NOTHING, NOTHING, SIZES], version, max_bytes, **attributes)


def test_first_resize_is_left_alone() -> None:
    with pytest.raises(EvaluationError, match="opset 10"):
        run([GRID, np.array([1, 1, 2, 2], np.float32)], 10)


def test_tensors_keep_their_names() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        g () => (float[1, 4] y) <float[1, 2] line = {0, 2}, float[2] scales = {1, 2}> {
            y = Resize <mode = "nearest"> (line, , scales)
        }""")
    before = model.SerializeToString()
    node = ir.from_proto(model).graph[0]
    tensors = [None if value is None else value.const_value for value in node.inputs]
    prediction = predict(node, tensors, {"": 20})
    evaluate_parts(node, prediction, tensors, {"": 20}, 1 << 20)
    assert model.SerializeToString() == before
