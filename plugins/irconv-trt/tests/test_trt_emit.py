"""Engines that are built, what is refused, and what runs where there is no GPU."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from irconv_trt import cuda, sdk
from irconv_trt.backend import ENGINE, GRAPH, TrtBackend
from irconv_trt.header import read_header
from irconv_trt.parse import parse

from irconv.errors import ExitCode, MismatchError, MissingError, UnsupportedError, UsageError
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_shapes

needs_no_gpu = pytest.mark.skipif(bool(cuda.devices()), reason="there is a GPU here")


def _model(text: str, opset: int = 20) -> ir.Model:
    return ir.from_onnx_text(f'< ir_version: 10, opset_import: ["" : {opset}] >\n{text}')


def test_engine_for_several_gpus(cnn: ir.Model, emit: Any) -> None:
    artifact, directory = emit(cnn, TrtBackend(sm=(80, 89, 120)), "batch=1..8@4")
    engine = (directory / ENGINE).read_bytes()
    assert engine[:4] == b"vtrt"
    assert struct.unpack("<Q", engine[16:24]) == (len(engine),)
    assert read_header(directory / ENGINE).version == artifact.requires["version"]
    assert artifact.requires["device"] == "NVIDIA GPU with compute capability in [8.0, 8.9, 12.0]"
    assert artifact.precision == "float32"
    assert {file.name for file in directory.iterdir()} == {ENGINE, GRAPH}


def test_engine_is_the_same_at_every_build(cnn: ir.Model, emit: Any) -> None:
    built = [emit(cnn.clone(), None, "batch=1..8@4") for _ in range(2)]
    engines = [(directory / ENGINE).read_bytes() for _, directory in built]
    assert engines[0] == engines[1]
    assert any("the same bytes again" in note for note in built[0][0].notes)


def test_engine_depends_on_the_weights(cnn: ir.Model, emit: Any) -> None:
    before = (emit(cnn.clone(), None, "batch=2")[1] / ENGINE).read_bytes()
    value = cnn.graph.initializers["f"]
    value.const_value = ir.Tensor(value.const_value.numpy() * 2, name="f")  # type: ignore[union-attr]
    assert (emit(cnn, None, "batch=2")[1] / ENGINE).read_bytes() != before


@needs_no_gpu
def test_without_a_gpu_the_graph_is_run_and_said_so(cnn: ir.Model, emit: Any) -> None:
    backend = TrtBackend()
    artifact, directory = emit(cnn, backend, "batch=1..8@4")
    x = np.random.default_rng(1).standard_normal((3, 3, 8, 8)).astype(np.float32)
    with backend.runner(directory, artifact) as runner:
        found = runner.run({"x": x})["y"]
        assert runner.level == "graph"
        assert "not executed" in runner.describe()["note"]
    with OnnxRuntimeRunner(directory / GRAPH, optimize=False) as reference:
        np.testing.assert_array_equal(found, reference.run({"x": x})["y"])


@needs_no_gpu
def test_a_graph_without_kernels_is_run_in_another_form_and_said_so(emit: Any) -> None:
    backend = TrtBackend()
    model = _model("g (bfloat16[2] x) => (bfloat16[2] y) { y = Add (x, x) }")
    artifact, directory = emit(model, backend)
    assert artifact.precision == "bfloat16"
    x = np.array([1.0, 1.5], ml_dtypes.bfloat16)
    with backend.runner(directory, artifact) as runner:
        np.testing.assert_array_equal(runner.run({"x": x})["y"], x + x)
        assert "bfloat16 computed in float32 and rounded" in runner.describe()["note"]


@needs_no_gpu
def test_what_cannot_be_run_here_in_any_way_says_so(emit: Any) -> None:
    backend = TrtBackend(sm=(120,))
    model = _model(
        """g (float[16] x) => (float[16] y) <float s = {2.0}> {
            q = QuantizeLinear <output_dtype = 23> (x, s)
            y = DequantizeLinear (q, s)
        }""",
        opset=23,
    )
    artifact, directory = emit(model, backend)
    with pytest.raises(MissingError, match="no GPU here to run it"):
        backend.runner(directory, artifact)


def test_float16_stays_float32_at_the_borders(cnn: ir.Model, emit: Any) -> None:
    with OnnxRuntimeRunner(emit(cnn.clone(), None, "batch=2")[1] / GRAPH) as reference:
        x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
        exact = reference.run({"x": x})["y"]
    artifact, directory = emit(cnn, TrtBackend(precision="fp16", sm=(75, 89)), "batch=2")
    assert artifact.precision == "float16"
    with OnnxRuntimeRunner(directory / GRAPH) as runner:
        half = runner.run({"x": x})["y"]
    assert isinstance(half, np.ndarray)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - exact).max() < 1e-2


def test_tf32_is_off_unless_asked_for(cnn: ir.Model, emit: Any) -> None:
    assert emit(cnn, TrtBackend(tf32=True), "batch=2")[0].precision == "tf32"


def test_dynamic_dimensions_need_ranges(cnn: ir.Model) -> None:
    (diagnostic,) = TrtBackend().check(cnn, {})
    assert diagnostic.code == "DYNAMIC_DIM"
    assert "'batch'" in diagnostic.reason
    assert "--shape 'batch=1..8@4'" in diagnostic.way_out
    assert TrtBackend().check(cnn, parse_shapes(["batch=1..8@4"])) == []


def test_nameless_dimension_is_given_by_its_position(emit: Any) -> None:
    model = _model("g (float[?, 4] x) => (float[?, 4] y) { y = Relu (x) }")
    (diagnostic,) = TrtBackend().check(model, {})
    assert "--shape 'x[0]=1..8@4'" in diagnostic.way_out
    emit(model, None, "x[0]=1..8@4")


def test_names_that_are_no_identifiers(emit: Any) -> None:
    model = _model("g (float[2] x) => (float[2] y) { y = Relu (x) }")
    names = ['odd name/with:signs "and quotes"', "\n:0 é"]
    model.graph.inputs[0].name, model.graph.outputs[0].name = names
    backend = TrtBackend(sm=(89,))
    artifact, directory = emit(model, backend)
    assert [*artifact.data["inputs"], *artifact.data["outputs"]] == names
    with backend.runner(directory, artifact) as runner:
        found = runner.run({names[0]: np.array([-1, 2], np.float32)})
    np.testing.assert_array_equal(found[names[1]], [0, 2])


def test_every_unsupported_node_is_listed(emit: Any) -> None:
    model = _model(
        """g (float[2, 2] x, bool c) => (int64[2, K] d, float[2, 2] y) {
            [places] d = NonZero (x)
            [branch] y = If (c) <
                then_branch = a () => (float[2, 2] t) { [inner] t = BitwiseNot (x) },
                else_branch = b () => (float[2, 2] f) { f = Neg (x) }
            >
        }"""
    )
    with pytest.raises(UnsupportedError) as caught:
        emit(model)
    assert {entry.node for entry in caught.value.diagnostics} == {"places", "inner"}
    assert all(entry.way_out for entry in caught.value.diagnostics)


def test_what_only_the_parser_refuses_is_listed_too(emit: Any) -> None:
    model = _model(
        """g (float[2, 4] x, int64[2] s) => (float[A, B] y, float[2, 4] z) {
            t = Abs (s)
            [reshaped] y = Reshape (x, t)
            z = Relu (x)
        }"""
    )
    with pytest.raises(UnsupportedError) as caught:
        emit(model, None, "A=2", "B=4")
    assert caught.value.diagnostics[0].code == "SHAPE_INPUT"
    assert "'s'" in caught.value.diagnostics[0].reason


def test_parser_errors_name_their_nodes(emit: Any) -> None:
    model = _model(
        """g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y, float[1, 2, 4, 4] z)
        <float[2] s = {1.0, 1.0}> {
            [first] y = GroupNormalization <num_groups = 2> (x, s)
            [second] z = GroupNormalization <num_groups = 2> (x, s)
        }""",
        21,
    )
    with pytest.raises(UnsupportedError) as caught:
        emit(model)
    assert [entry.node for entry in caught.value.diagnostics] == ["first", "second"]
    assert all(entry.op == "GroupNormalization" for entry in caught.value.diagnostics)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("(double[2] x) => (double[2] y) { y = Relu (x) }", "UNSUPPORTED_DTYPE"),
        ("(uint8[2] x) => (uint8[2] y) { y = Add (x, x) }", "UINT8"),
        ("(int16[2] x) => (int16[2] y) { y = Add (x, x) }", "UNSUPPORTED_DTYPE"),
        (
            """(float[2] x) => (float[2] y) <float s = {0.5}, int8 z = {3}>
            { q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }""",
            "ASYMMETRIC_QUANTIZATION",
        ),
        (
            "(float[4] x, int64[2] s) => (float[A, B] y) { y = Reshape (x, s) }",
            "SHAPE_INPUT",
        ),
        (
            """(float[2, 2] x) => (float[1, 1, 1, 1, 1, 1, 1, 2, 2] y)
            <int64[9] s = {1, 1, 1, 1, 1, 1, 1, 2, 2}> { y = Reshape (x, s) }""",
            "UNSUPPORTED_RANK",
        ),
        (
            "(float[2] x) => (float[2] y) { y = RandomNormalLike <seed = 1.0> (x) }",
            "UNSUPPORTED_ATTRIBUTE",
        ),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(body: str, code: str) -> None:
    diagnostics = TrtBackend().check(_model("g " + body), {})
    assert {entry.code for entry in diagnostics} == {code}


def test_a_warning_of_other_numbers_is_an_error(tmp_path: Path) -> None:
    """What the parser takes for int8 with a warning only, given to it as it is."""
    model = _model(
        """g (float[2, 4] x) => (float[2, 4] y) <float s = {0.5}, uint8 z = {0}> {
            q = QuantizeLinear (x, s, z)
            y = DequantizeLinear (q, s, z)
        }"""
    )
    ir.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError) as caught:
        parse(sdk.load("rtx"), tmp_path / "model.onnx")
    assert "WRONG_NUMBERS" in {entry.code for entry in caught.value.diagnostics}


def test_an_old_opset_is_refused() -> None:
    (diagnostic,) = TrtBackend().check(
        _model("g (float[2] x) => (float[2] y) { y = Relu (x) }", 6), {}
    )
    assert diagnostic.code == "OLD_OPSET"


def test_turing_has_no_float32_product(cnn: ir.Model, emit: Any) -> None:
    with pytest.raises(UnsupportedError) as caught:
        emit(cnn, TrtBackend(sm=(75,)), "batch=2")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.node, diagnostic.code) == ("product", "SM75_FLOAT32")
    assert "precision=fp16" in diagnostic.way_out


@pytest.mark.parametrize("sm", [(90,), (89, 100), (), ("ninety",), ("current", 89)])
def test_capabilities_that_cannot_be_named(sm: tuple[int | str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        TrtBackend(sm=sm)
    assert caught.value.exit_code == ExitCode.BAD_INPUT


@needs_no_gpu
@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (TrtBackend(weights="stripped", sm=(89,)), "MyelinCheckException"),
        (TrtBackend(sm=("current",)), "it has none"),
        (TrtBackend(flavor="classic"), "tensorrt"),
    ],
)
def test_what_needs_a_gpu_says_so(
    backend: TrtBackend, words: str, cnn: ir.Model, emit: Any
) -> None:
    with pytest.raises(MissingError, match=words) as caught:
        emit(cnn, backend, "batch=2")
    assert caught.value.exit_code == ExitCode.MISSING
    assert caught.value.hint


def test_classic_says_how_to_get_it() -> None:
    availability = TrtBackend(flavor="classic").available()
    if not availability.ok:
        assert "pip install tensorrt" in availability.way_out


def test_damaged_engine_is_not_opened(cnn: ir.Model, emit: Any) -> None:
    backend = TrtBackend()
    artifact, directory = emit(cnn, backend, "batch=2")
    engine: Path = directory / ENGINE
    content = engine.read_bytes()
    engine.write_bytes(content[:-1])
    with pytest.raises(MismatchError, match="its header says"):
        backend.runner(directory, artifact)
    engine.write_bytes(content[:24] + b"\x09" + content[25:])
    with pytest.raises(MismatchError, match=r"9\.7\.1\.116"):
        backend.runner(directory, artifact)
    engine.write_bytes(b"not an engine")
    with pytest.raises(MismatchError, match="does not begin"):
        backend.runner(directory, artifact)


def test_uint8_quantization_gives_the_same_numbers(emit: Any) -> None:
    text = """g (float[4, 8] x) => (float[4, 2] y)
        <float s = {0.03125}, uint8 z = {128}, uint8[8, 2] w = {
            0, 255, 128, 3, 17, 200, 130, 126, 90, 1, 254, 77, 5, 128, 129, 64},
         float[2] ws = {0.5, 0.25}, uint8[2] wz = {128, 128}> {
            q = QuantizeLinear (x, s, z)
            d = DequantizeLinear (q, s, z)
            m = DequantizeLinear <axis = 1> (w, ws, wz)
            y = MatMul (d, m)
        }"""
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32) * 3}
    artifact, directory = emit(_model(text))
    assert artifact.precision == "int8"
    source = directory / "source.onnx"
    ir.save(_model(text), source)
    with (
        OnnxRuntimeRunner(directory / GRAPH, optimize=False) as rewritten,
        OnnxRuntimeRunner(source, optimize=False) as original,
    ):
        np.testing.assert_array_equal(rewritten.run(feeds)["y"], original.run(feeds)["y"])


def test_attention_is_built_from_its_function_body(emit: Any) -> None:
    model = _model(
        """g (float[N, 2, 4, 8] q, float[N, 2, 4, 8] k, float[N, 2, 4, 8] v)
        => (float[N, 2, 4, 8] y) { y = Attention <is_causal = 1, softcap = 2.0> (q, k, v) }""",
        23,
    )
    emit(model, None, "N=1..4@2")


def test_weights_beside_the_graph(
    cnn: ir.Model, emit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irconv.graph import serialize

    inline = emit(cnn.clone(), None, "batch=2")[1] / ENGINE
    save = serialize.save_model
    monkeypatch.setattr(
        serialize, "save_model", lambda model, path: save(model, path, inline_limit=0)
    )
    artifact, directory = emit(cnn, None, "batch=2")
    assert (directory / f"{GRAPH}.data").exists()
    assert (directory / ENGINE).stat().st_size == inline.stat().st_size
    with TrtBackend().runner(directory, artifact) as runner:
        assert runner.run({"x": np.zeros((2, 3, 8, 8), np.float32)})["y"] is not None
