"""The target ``tflite``: models through LiteRT's interpreter, its options, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_tflite.backend import TfliteBackend
from irconv_tflite.emit import lower as lowering
from onnx import helper, numpy_helper

import irconv
from irconv.backends.base import Artifact, EmitRequest
from irconv.errors import ExitCode, InputError, UnsupportedError
from irconv.graph.reading.load import load_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import load_registry
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.testing import assert_backend_conforms

NAME = 'odd name/with:signs "and quotes"'


def save(folder: Path, text: str, **weights: np.ndarray) -> Path:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def parse(body: str) -> ir.Model:
    return ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 24]> {body}')


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
    return save(
        tmp_path,
        text,
        **{name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()},
    )


def manifest_of(model: Path, target: str, out: Path, **options) -> dict:
    result = irconv.compile(model, [target], out, **options)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    return json.loads((result.targets[0].directory / "manifest.json").read_text())


def emitted(model: Path, backend: TfliteBackend, out: Path) -> Artifact:
    """Legalize, check and emit in this process."""
    passes = build_pipeline(load_registry(), backend.legalization())
    context = PassContext(abilities=backend.abilities())
    legalized = PassManager(passes, strict=True).run(load_model(model).model, context).model
    assert backend.check(legalized, {}) == []
    out.mkdir()
    return backend.emit(legalized, out, EmitRequest())


def operators_of(path: Path) -> list[tuple[str, str]]:
    """Return name and result dtype of every operator of the main graph, in order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    codes, types = (
        {number: name for name, number in vars(table).items() if isinstance(number, int)}
        for table in (schema.BuiltinOperator, schema.TensorType)
    )
    return [
        (
            codes[model.operatorCodes[operator.opcodeIndex].builtinCode],
            types[graph.tensors[operator.outputs[0]].type],
        )
        for operator in graph.operators
    ]


def test_it_is_run_with_another_batch(network: Path, tmp_path: Path) -> None:
    manifest = manifest_of(network, "tflite", tmp_path / "out", shapes=("N=1..8@2",))
    assert manifest["verification"]["level"] == "artifact"
    assert [(e["name"], e["dtype"]) for e in manifest["outputs"]] == [
        ("label", "int64"),
        ("scores", "float32"),
    ]
    image = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    offset = np.arange(5, dtype=np.int64)
    outputs = irconv.run(tmp_path / "out" / "tflite", {"image": image, "offset": offset})
    assert list(outputs) == ["label", "scores"]
    np.testing.assert_array_equal(outputs["label"], outputs["scores"].argmax(1) + offset)


def test_the_activation_is_fused_and_one_transpose_is_left(network: Path, tmp_path: Path) -> None:
    emitted(network, TfliteBackend(), tmp_path / "out")
    codes = [code for code, _ in operators_of(tmp_path / "out" / "model.tflite")]
    assert codes.count("TRANSPOSE") == 1
    assert "RELU" not in codes


def test_channel_last_borders_run_in_the_source_layout(network: Path, tmp_path: Path) -> None:
    feeds = {
        "image": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32),
        "offset": np.zeros(2, np.int64),
    }
    scores = []
    for layout in ("source", "nhwc"):
        backend = TfliteBackend(layout=layout)
        artifact = emitted(network, backend, tmp_path / layout)
        with backend.runner(tmp_path / layout, artifact) as runner:
            scores.append(runner.run(feeds)["scores"])
    codes = [code for code, _ in operators_of(tmp_path / "nhwc" / "model.tflite")]
    assert "TRANSPOSE" not in codes
    np.testing.assert_array_equal(*scores)


def test_half_precision_is_in_the_file_and_in_the_judgement(network: Path, tmp_path: Path) -> None:
    for precision, judged in (("f32", "float32"), ("f16", "float16")):
        out = tmp_path / precision
        assert emitted(network, TfliteBackend(precision=precision), out).precision == judged
        codes = [code for code, _ in operators_of(out / "model.tflite")]
        assert ("DEQUANTIZE" in codes) == (precision == "f16")


def test_c_source_holds_the_same_bytes(network: Path, tmp_path: Path) -> None:
    emitted(network, TfliteBackend(form="c-array"), tmp_path / "out")
    text = (tmp_path / "out" / "model.cc").read_text().partition("{")[2].partition("}")[0]
    data = bytes(int(item, 16) for item in text.replace("\n", " ").split(",") if item.strip())
    assert data == (tmp_path / "out" / "model.tflite").read_bytes()
    assert "g_model_len" in (tmp_path / "out" / "model.h").read_text()


@pytest.mark.parametrize("way", ["dynamic-int8", "weight-int8"])
def test_quantizing_shrinks_the_file(way: str, tmp_path: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((128, 128), np.float32)
    text = """
        < ir_version: 8, opset_import: ["" : 17] >
        g (float[2, 128] x) => (float[2, 128] y) { y = MatMul(x, w) }
    """
    path = save(tmp_path, text, w=weights)
    backend = TfliteBackend(quantize=way)
    artifact = emitted(path, backend, tmp_path / "out")
    assert (tmp_path / "out" / artifact.main).stat().st_size < weights.nbytes / 2
    x = np.random.default_rng(2).standard_normal((2, 128)).astype(np.float32)
    with backend.runner(tmp_path / "out", artifact) as runner:
        error = np.abs(runner.run({"x": x})["y"] - x @ weights).max()
    assert 1e-6 < error < 1


def test_a_constant_state_is_not_taken_for_weights(tmp_path: Path) -> None:
    """An unrolled LSTM multiplies its first state, zero, by the weights of the recurrence."""
    random = np.random.default_rng(3)
    weights = {
        "w": random.standard_normal((1, 128, 32)).astype(np.float32) / 6,
        "r": random.standard_normal((1, 128, 32)).astype(np.float32) / 6,
        "b": random.standard_normal((1, 256)).astype(np.float32) / 6,
        "last": random.standard_normal((32, 32)).astype(np.float32) / 6,
    }
    text = """
        < ir_version: 8, opset_import: ["" : 17] >
        g (float[3, 2, 32] x) => (float[3, 1, 2, 32] z) {
            y = LSTM <hidden_size = 32> (x, w, r, b)
            z = MatMul(y, last)
        }
    """
    path = save(tmp_path, text, **weights)
    backend = TfliteBackend(quantize="dynamic-int8")
    artifact = emitted(path, backend, tmp_path / "out")
    operators = operators_of(tmp_path / "out" / "model.tflite")
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in [code for code, _ in operators]
    feeds = {"x": random.standard_normal((3, 2, 32)).astype(np.float32)}
    with backend.runner(tmp_path / "out", artifact) as runner:
        found = runner.run(feeds)["z"]
    with OnnxRuntimeRunner(path) as runner:
        wanted = runner.run(feeds)["z"]
    assert np.abs(wanted).max() > 0.1
    assert 1e-6 < np.abs(found - wanted).max() < 0.05


def test_packed_weights_pass_by_the_measured_effect(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((128, 128), np.float32)
    text = """
        < ir_version: 8, opset_import: ["" : 17] >
        g (float[2, 128] x) => (float[2, 128] y) { y = MatMul(x, w) }
    """
    path = save(tmp_path, text, w=weights)
    manifest_of(path, "tflite{quantize=weight-int8}", tmp_path / "out")
    operators = operators_of(tmp_path / "out" / "tflite" / "model.tflite")
    assert "DEQUANTIZE" in [code for code, _ in operators]


def test_quantizing_and_half_precision_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="leave out precision=f16"):
        TfliteBackend(quantize="weight-int8", precision="f16")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 16])
def test_integer_kernels_from_qdq(bits: int, tmp_path: Path) -> None:
    kind = f"int{bits}"
    random = np.random.default_rng(3)
    info, node = helper.make_tensor_value_info, helper.make_node
    step = np.float32(4 / 2 ** (bits - 1))
    graph = helper.make_graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
            node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
            node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
            node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
            node("Conv", ["xd", "wd", "bd"], ["c"], pads=[1, 1, 1, 1]),
            node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
            node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
        ],
        "g",
        [info("x", onnx.TensorProto.FLOAT, [1, 4, 6, 6])],
        [info("y", onnx.TensorProto.FLOAT, [1, 8, 6, 6])],
    )
    scales = random.uniform(0.001, 0.003, 8).astype(np.float32)
    constants = {
        "s": step,
        "z": np.array(0, kind),
        "w": random.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8),
        "ws": scales,
        "wz": np.zeros(8, np.int8),
        "b": random.integers(-90, 90, 8).astype(np.int32),
        "bs": scales * step,
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()
    )
    opsets = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")

    manifest = manifest_of(tmp_path / "m.onnx", "tflite", tmp_path / "out")

    operators = operators_of(tmp_path / "out" / "tflite" / "model.tflite")
    assert ("CONV_2D", kind.upper()) in operators
    assert manifest["verification"]["outputs"][0]["max_abs"] <= 1.01 * step


def test_equal_weights_are_stored_once(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((64, 64), np.float32)
    text = """
        < ir_version: 8, opset_import: ["" : 17] >
        g (float[2, 64] x) => (float[2, 64] y) { a = MatMul(x, v)  b = Tanh(a)  y = MatMul(b, w) }
    """
    path = save(tmp_path, text, v=weights, w=weights.copy())
    emitted(path, TfliteBackend(), tmp_path / "out")
    size = (tmp_path / "out" / "model.tflite").stat().st_size
    assert weights.nbytes < size < 1.5 * weights.nbytes


def test_names_that_are_no_identifiers_and_meet(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Exp", [NAME], ["tanh"]),
            helper.make_node("Tanh", ["tanh"], ["exp"]),
            helper.make_node("Neg", ["exp"], [NAME + "!"]),
        ],
        "g",
        [info(NAME, onnx.TensorProto.FLOAT, [2, 9])],
        [info(NAME + "!", onnx.TensorProto.FLOAT, [2, 9])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    manifest = manifest_of(path, "tflite", tmp_path / "out")
    assert manifest["outputs"][0]["name"] == NAME + "!"


def test_every_node_that_it_lacks_is_named(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        """
        < ir_version: 8, opset_import: ["" : 17] >
        g (float[3, 3] x) => (float[3, 3] y, float[3, 3] z) {
            y = RandomNormalLike (x)
            z = Multinomial <dtype = 6> (x)
        }""".replace("float[3, 3] z)", "int32[3, 1] z)"),
    )
    result = irconv.compile(path, ["tflite"], tmp_path / "out")
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    assert [diagnostic.op for diagnostic in error.diagnostics] == [
        "RandomNormalLike",
        "Multinomial",
    ]
    assert not (tmp_path / "out").exists()


REFUSED = {
    "UNSUPPORTED_OP": "g (float[2, 2] x) => (float[2, 2] y) { y = RandomNormalLike(x) }",
    "UNSUPPORTED_DTYPE": "g (string[2] x) => (string[2] y) { y = Identity(x) }",
    "RANK_LIMIT": (
        "g (float[1, 1, 4, 4, 4, 4] x, float[1, 1, 2, 2, 2, 2] w) => (float[1, 1, 3, 3, 3, 3] y)"
        "{ y = Conv(x, w) }"
    ),
    "DYNAMIC_SHAPE": (
        "g (float[1, 1, height, 8] x) => (float[1, 1, H, 4] y)"
        "{ y = MaxPool<kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1>(x) }"
    ),
    "NOT_CONSTANT": "g (float[4] x, int64[2] p) => (float[M] y) { y = Pad<mode='edge'>(x, p) }",
}


@pytest.mark.parametrize("code", REFUSED)
def test_refusals_have_a_code_a_reason_and_a_way_out(code: str) -> None:
    diagnostics = TfliteBackend().check(parse(REFUSED[code].replace("'", '"')), {})
    assert code in {entry.code for entry in diagnostics}
    assert all(entry.reason and entry.way_out for entry in diagnostics)


def test_what_is_over_two_gigabytes_is_refused_before_writing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = parse("g (float[2, 3] x) => (float[2, 3] y) <float[3] w = {1, 2, 3}> { y = Add(x, w) }")
    assert TfliteBackend().check(model, {}) == []
    monkeypatch.setattr(lowering, "MAX_BYTES", 8)
    (diagnostic,) = TfliteBackend().check(model, {})
    assert diagnostic.code == "SIZE_LIMIT"
    assert "precision=f16" in diagnostic.way_out


def test_another_shape_is_bad_input(tmp_path: Path) -> None:
    backend = TfliteBackend()
    artifact = backend.emit(
        parse("g (float[N, 3] x) => (float[N, 3] y) { y = Abs(x) }"), tmp_path, EmitRequest()
    )
    with backend.runner(tmp_path, artifact) as runner:
        assert runner.run({"x": np.full((4, 3), -1, np.float32)})["y"].min() == 1
        with pytest.raises(InputError, match=r"takes \['\?', 3\]"):
            runner.run({"x": np.zeros((4, 2), np.float32)})


def test_emitting_what_was_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        TfliteBackend().emit(parse(REFUSED["UNSUPPORTED_OP"]), tmp_path, EmitRequest())
    assert [entry.op for entry in caught.value.diagnostics] == ["RandomNormalLike"]
    assert list(tmp_path.iterdir()) == []


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, irconv_tflite.plugin\n"
        "heavy = {'ai_edge_litert', 'flatbuffers', 'numpy', 'onnx', 'onnx_ir'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "tflite{precision=f16,layout=nhwc}"])
def test_it_keeps_every_promise(target: str) -> None:
    assert_backend_conforms(target)
