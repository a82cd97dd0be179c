"""Which operators of TFLite a piece of a network becomes, and that LiteRT computes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from irconv_tflite.backend import TfliteBackend

from irconv.backends.base import EmitRequest
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import load_registry

_RANDOM = np.random.default_rng(11)


def _floats(*shape: int) -> np.ndarray:
    return _RANDOM.standard_normal(shape).astype(np.float32)


_IMAGE = _floats(1, 4, 8, 8)
_STEPS = _floats(5, 2, 3)
_CASES: dict[str, tuple[str, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]] = {
    "the padding of auto_pad is the kernel's own": (
        (
            "(float[1, 4, 8, 8] x) => (float[1, 6, 4, 4] y) "
            '{ y = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, w) }'
        ),
        {"x": _IMAGE},
        {"w": _floats(6, 4, 3, 3)},
        {"CONV_2D": 1, "PAD": 0},
    ),
    "other padding stands before it": (
        "(float[1, 4, 8, 8] x) => (float[1, 6, 9, 6] y) { y = Conv<pads = [3, 0, 0, 0]>(x, w) }",
        {"x": _IMAGE},
        {"w": _floats(6, 4, 3, 3)},
        {"CONV_2D": 1, "PAD": 1},
    ),
    "groups stay one convolution": (
        "(float[1, 4, 8, 8] x) => (float[1, 6, 6, 6] y) { y = Conv<group = 2>(x, w) }",
        {"x": _IMAGE},
        {"w": _floats(6, 2, 3, 3)},
        {"CONV_2D": 1, "SPLIT": 0},
    ),
    "one channel a group is depthwise": (
        "(float[1, 4, 8, 8] x) => (float[1, 8, 6, 6] y) { y = Conv<group = 4>(x, w) }",
        {"x": _IMAGE},
        {"w": _floats(8, 1, 3, 3)},
        {"DEPTHWISE_CONV_2D": 1},
    ),
    "three dimensions in groups": (
        "(float[1, 4, 5, 5, 5] x) => (float[1, 6, 3, 3, 3] y) { y = Conv<group = 2>(x, w) }",
        {"x": _floats(1, 4, 5, 5, 5)},
        {"w": _floats(6, 2, 3, 3, 3)},
        {"CONV_3D": 2},
    ),
    "an activation belongs to what it follows": (
        (
            "(float[1, 4, 8, 8] x) => (float[1, 6, 6, 6] y) "
            "<float low = {0.0}, float high = {6.0}> { c = Conv(x, w) y = Clip(c, low, high) }"
        ),
        {"x": _IMAGE},
        {"w": _floats(6, 4, 3, 3)},
        {"CONV_2D": 1, "RELU6": 0},
    ),
    "a product with a constant and its bias": (
        "(float[2, 7, 4] x) => (float[2, 7, 3] y) { h = MatMul(x, w) a = Add(h, b) y = Relu(a) }",
        {"x": _floats(2, 7, 4)},
        {"w": _floats(4, 3), "b": _floats(3)},
        {"FULLY_CONNECTED": 1, "ADD": 0, "RELU": 0},
    ),
    "a product of two results": (
        "(float[2, 7, 4] x, float[2, 4, 3] z) => (float[2, 7, 3] y) { y = MatMul(x, z) }",
        {"x": _floats(2, 7, 4), "z": _floats(2, 4, 3)},
        {},
        {"BATCH_MATMUL": 1},
    ),
    "a layer norm is composed": (
        "(float[2, 7, 4] x) => (float[2, 7, 4] y) { n = LayerNormalization(x, w, b) y = Gelu(n) }",
        {"x": _floats(2, 7, 4)},
        {"w": _floats(4), "b": _floats(4)},
        {"MEAN": 2, "RSQRT": 1, "GELU": 1},
    ),
    "a recurrence of known length is unrolled": (
        "(float[5, 2, 3] x) => (float[5, 1, 2, 4] y) { y = GRU<hidden_size = 4>(x, w, r) }",
        {"x": _STEPS},
        {"w": _floats(1, 12, 3), "r": _floats(1, 12, 4)},
        {"WHILE": 0},
    ),
    "a recurrence of open length is a loop": (
        "(float[T, 2, 3] x) => (float[T, 1, 2, 4] y) { y = LSTM<hidden_size = 4>(x, w, r) }",
        {"x": _STEPS},
        {"w": _floats(1, 16, 3), "r": _floats(1, 16, 4)},
        {"WHILE": 1},
    ),
    "boxes are suppressed by the runtime": (
        (
            "(float[1, 6, 4] boxes, float[1, 1, 6] scores) => (int64[K, 3] y) "
            "<int64 most = {3}, float overlap = {0.4}> "
            "{ y = NonMaxSuppression(boxes, scores, most, overlap) }"
        ),
        {
            "boxes": np.sort(_RANDOM.random((1, 6, 2, 2)), 2).reshape(1, 6, 4).astype(np.float32),
            "scores": _RANDOM.random((1, 1, 6)).astype(np.float32),
        },
        {},
        {"NON_MAX_SUPPRESSION_V4": 1},
    ),
    "an image is enlarged": (
        (
            "(float[1, 4, 8, 8] x) => (float[1, 4, 16, 16] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}> "
            '{ y = Resize<mode = "linear">(x, , s) }'
        ),
        {"x": _IMAGE},
        {},
        {"RESIZE_BILINEAR": 1},
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_it_becomes_those_operators_and_computes_the_same(name: str, tmp_path: Path) -> None:
    body, feeds, weights, counts = _CASES[name]
    source = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> example {body}')
    source.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, key) for key, array in weights.items()
    )
    expected = onnxruntime.InferenceSession(source.SerializeToString()).run(None, feeds)

    backend = TfliteBackend()
    passes = build_pipeline(load_registry(), backend.legalization())
    context = PassContext(abilities=backend.abilities())
    model = PassManager(passes, strict=True).run(ir.from_proto(source), context).model
    artifact = backend.emit(model, tmp_path, EmitRequest())
    with backend.runner(tmp_path, artifact) as runner:
        found = runner.run(feeds)
    np.testing.assert_allclose(found["y"], expected[0], rtol=1e-4, atol=1e-5)

    codes = operators_of(tmp_path / artifact.main)
    assert {code: codes.count(code) for code in counts} == counts


def test_integer_division_is_exact(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    a = random.integers(-(2**62), 2**62, 200) >> random.integers(0, 60, 200)
    b = random.integers(-(2**62), 2**62, 200) >> random.integers(0, 60, 200)
    b[b == 0] = 7
    text = "g (int64[200] a, int64[200] b) => (int64[200] y) { y = Div(a, b) }"
    source = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> {text}')
    backend = TfliteBackend()
    artifact = backend.emit(ir.from_proto(source), tmp_path, EmitRequest())
    with backend.runner(tmp_path, artifact) as runner:
        outputs = runner.run({"a": a, "b": b})
    signs = np.where((a < 0) == (b < 0), 1, -1)
    np.testing.assert_array_equal(outputs["y"], np.abs(a) // np.abs(b) * signs)


def operators_of(path: Path) -> list[str]:
    """Return the names of the operators of the main graph, in order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    return [
        names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        for operator in model.subgraphs[0].operators
    ]
