"""The target ``openvino``: real models through its own runtime, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_openvino.backend import OpenvinoBackend
from onnx import helper, numpy_helper

import irconv
from irconv.errors import ExitCode, UnsupportedError
from irconv.testing import assert_backend_conforms

NAME = 'odd name/with:signs "and quotes"'


def save(folder: Path, text: str, **weights: np.ndarray) -> Path:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()
    )
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A CNN with a dynamic batch; two outputs of other dtypes, not in order of computation."""
    random = np.random.default_rng(5)
    text = """
        < ir_version: 8, opset_import: ["" : 17] >
        net (float[N, 3, 8, 8] image, int64[N] offset) => (int64[N] label, float[N, 6] scores) {
            conv = Conv <pads = [1, 1, 1, 1]> (image, w)
            act = Relu (conv)
            pooled = GlobalAveragePool (act)
            flat = Flatten (pooled)
            scores = MatMul (flat, v)
            best = ArgMax <axis = 1, keepdims = 0> (scores)
            label = Add (best, offset)
        }"""
    shapes = {"w": (16, 3, 3, 3), "v": (16, 6)}
    weights = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    return save(tmp_path, text, **weights)


def manifest_of(model: Path, target: str, out: Path, **options) -> dict:
    result = irconv.compile(model, [target], out, **options)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    return json.loads((result.targets[0].directory / "manifest.json").read_text())


def test_it_is_run_and_judged_at_float32(network: Path, tmp_path: Path) -> None:
    manifest = manifest_of(network, "openvino", tmp_path / "out")
    assert manifest["verification"]["level"] == "artifact"
    assert manifest["verification"]["ran"]["precision"] == "f32"
    assert manifest["artifact"]["requires"]["config"] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert any("INFERENCE_PRECISION_HINT" in note for note in manifest["artifact"]["notes"])
    assert [(e["name"], e["dtype"]) for e in manifest["outputs"]] == [
        ("label", "int64"),
        ("scores", "float32"),
    ]
    assert {entry["path"] for entry in manifest["artifact"]["files"]} == {"model.xml", "model.bin"}


def test_outputs_keep_order_dtype_and_batch(network: Path, tmp_path: Path) -> None:
    manifest_of(network, "openvino", tmp_path / "out", shapes=("N=1..8@2",))
    image = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    offset = np.arange(5, dtype=np.int64)
    outputs = irconv.run(tmp_path / "out" / "openvino", {"image": image, "offset": offset})
    assert list(outputs) == ["label", "scores"]
    assert outputs["label"].dtype == np.int64
    np.testing.assert_array_equal(outputs["label"], outputs["scores"].argmax(1) + offset)


def test_weights_in_16_bits_are_half_the_size_and_judged_so(network: Path, tmp_path: Path) -> None:
    full = manifest_of(network, "openvino", tmp_path / "full")
    half = manifest_of(network, "openvino{compress=true}", tmp_path / "half")
    sizes = [
        next(entry["bytes"] for entry in m["artifact"]["files"] if entry["path"] == "model.bin")
        for m in (full, half)
    ]
    assert sizes[1] < 0.6 * sizes[0]
    assert half["artifact"]["precision"] == "float16"
    assert "float16" in half["verification"]["outputs"][1]["basis"]


def test_bfloat16_errs_more_and_says_so(network: Path, tmp_path: Path) -> None:
    exact = manifest_of(network, "openvino", tmp_path / "f32")
    coarse = manifest_of(network, "openvino{precision=bf16}", tmp_path / "bf16")
    assert coarse["artifact"]["precision"] == "bfloat16"
    assert coarse["artifact"]["requires"]["config"] == {"INFERENCE_PRECISION_HINT": "bf16"}
    errors = [m["verification"]["outputs"][1]["max_abs"] for m in (exact, coarse)]
    assert errors[0] < 1e-5
    tolerances = [m["verification"]["outputs"][1]["tolerance"] for m in (exact, coarse)]
    assert tolerances[1] > 100 * tolerances[0]


def test_names_that_are_no_identifiers(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Exp", [NAME], [NAME + "!"])],
        "g",
        [info(NAME, onnx.TensorProto.FLOAT, [2, 9])],
        [info(NAME + "!", onnx.TensorProto.FLOAT, [2, 9])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    manifest = manifest_of(path, "openvino", tmp_path / "out")
    assert manifest["outputs"][0]["name"] == NAME + "!"


def test_every_node_that_it_lacks_is_named(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        """
        < ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3] >
        g (float[3, 3] x, float[2, 2] z) => (float[3, 3] a, float[2, 2] b, float[3, 3] y) {
            a = ai.onnx.ml.Binarizer <threshold = 0.5> (x)
            b = ai.onnx.ml.Binarizer <threshold = 0.5> (z)
            y = Relu (x)
        }""",
    )
    result = irconv.compile(path, ["openvino"], tmp_path / "out")
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    assert [diagnostic.op for diagnostic in error.diagnostics] == ["ai.onnx.ml::Binarizer"] * 2
    assert not (tmp_path / "out").exists()


def test_strings_are_refused_before_anything_is_built() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 20]> g (string[N] x) => (string[N] y) '
        "{ y = StringConcat(x, x) }"
    )
    diagnostics = OpenvinoBackend().check(model, {})
    assert diagnostics
    assert all(diagnostic.reason and diagnostic.way_out for diagnostic in diagnostics)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["openvino", "openvino{compress=true}"])
def test_it_keeps_every_promise(target: str) -> None:
    assert_backend_conforms(target)
