"""States that OpenVINO keeps from step to step, against the stateless source step by step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from irconv_openvino.sdk import load_openvino
from irconv_openvino.states import find_states
from onnx import numpy_helper

import irconv
from irconv.bundle import open_bundle
from irconv.cli.main import run
from irconv.deploy import open_artifact
from irconv.errors import ExitCode, InputError, UsageError
from irconv.plugins import load_registry
from irconv.runtime.base import TensorSpec

DECODER = """
    <ir_version: 8, opset_import: ["" : 18]>
    decoder (float[batch, length, 16] x, int64[batch, total] mask,
             float[batch, 2, past, 8] "past_key_values.0.key",
             float[batch, 2, past, 8] "past_key_values.0.value")
    => (float[batch, length, 16] y, float[batch, 2, total, 8] "present.0.key",
        float[batch, 2, total, 8] "present.0.value")
    <int64[4] split = {0, 0, 2, 8}, int64[3] merge = {0, 0, 16}, int64[2] axes = {1, 2},
     float one = {1}, float far = {-1e9}> {
        q = MatMul(x, wq)  k = MatMul(x, wk)  v = MatMul(x, wv)
        q4 = Reshape(q, split)  k4 = Reshape(k, split)  v4 = Reshape(v, split)
        qt = Transpose<perm = [0, 2, 1, 3]>(q4)
        kt = Transpose<perm = [0, 2, 1, 3]>(k4)
        vt = Transpose<perm = [0, 2, 1, 3]>(v4)
        "present.0.key" = Concat<axis = 2>("past_key_values.0.key", kt)
        "present.0.value" = Concat<axis = 2>("past_key_values.0.value", vt)
        keys = Transpose<perm = [0, 1, 3, 2]>("present.0.key")
        scores = MatMul(qt, keys)
        kept = Cast<to = 1>(mask)
        dropped = Sub(one, kept)
        penalty = Mul(dropped, far)
        bias = Unsqueeze(penalty, axes)
        masked = Add(scores, bias)
        weights = Softmax(masked)
        mixed = MatMul(weights, "present.0.value")
        back = Transpose<perm = [0, 2, 1, 3]>(mixed)
        y = Reshape(back, merge)
    }"""
RECURRENT = """
    <ir_version: 8, opset_import: ["" : 18]>
    recurrent (float[L, N, 4] x, float[1, N, 6] h0, float[1, N, 6] c0)
    => (float[L, 1, N, 6] y, float[1, N, 6] h, float[1, N, 6] c) {
        y, h, c = LSTM<hidden_size = 6>(x, w, r, , , h0, c0)
    }"""


def save(folder: Path, text: str, **shapes: tuple[int, ...]) -> Path:
    random = np.random.default_rng(4)
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array((random.standard_normal(shape) / 2).astype(np.float32), name)
        for name, shape in shapes.items()
    )
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a decoder with a cache; its source lies beside it."""
    folder = tmp_path_factory.mktemp("decoder")
    save(folder, DECODER, wq=(16, 16), wk=(16, 16), wv=(16, 16))
    return compiled(folder, "openvino{stateful=true}")


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an LSTM whose states are given by pairs."""
    folder = tmp_path_factory.mktemp("recurrent")
    save(folder, RECURRENT, w=(1, 24, 4), r=(1, 24, 6))
    return compiled(folder, "openvino{stateful=[h0:h,c0:c]}")


def compiled(folder: Path, target: str) -> Path:
    result = irconv.compile(folder / "model.onnx", [target], folder)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    return folder / "openvino"


def steps_of_decoder(lengths: tuple[int, ...]) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(6)
    steps, total = [], 0
    for length in lengths:
        total += length
        mask = np.ones((2, total), np.int64)
        mask[1, 0] = 0
        x = random.standard_normal((2, length, 16)).astype(np.float32)
        steps.append({"x": x, "mask": mask})
    return steps


def stateless(
    bundle: Path,
    steps: list[dict[str, np.ndarray]],
    begin: dict[str, np.ndarray],
    pairs: dict[str, str],
) -> list[dict[str, np.ndarray]]:
    """The outputs of the source, of which each step is handed what the one before gave."""
    session = onnxruntime.InferenceSession(bundle.parent / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    states, results = begin, []
    for step in steps:
        outputs = dict(zip(names, session.run(None, step | states), strict=True))
        states = {old: outputs[new] for old, new in pairs.items()}
        results.append(outputs)
    return results


CACHE = {f"past_key_values.0.{part}": f"present.0.{part}" for part in ("key", "value")}


def test_a_cache_is_kept_from_step_to_step(decoder: Path) -> None:
    steps = steps_of_decoder((5, 1, 1, 3))
    empty = dict.fromkeys(CACHE, np.zeros((2, 2, 0, 8), np.float32))
    expected = stateless(decoder, steps, empty, CACHE)

    for _ in range(2):
        with open_artifact(open_bundle(decoder)) as runner:
            found = [*runner.run_all(steps[:2]), *runner.run_all(steps[2:])]
        for ours, theirs in zip(found, expected, strict=True):
            assert list(ours) == list(theirs)
            for name, value in theirs.items():
                np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-5)


def test_the_manifest_names_the_states(decoder: Path) -> None:
    manifest = json.loads((decoder / "manifest.json").read_text())
    states = [{"name": old, "input": old, "output": new} for old, new in CACHE.items()]
    assert manifest["artifact"]["requires"]["states"] == states
    assert manifest["artifact"]["requires"]["config"] == {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
    }
    assert manifest["verification"]["level"] == "artifact"
    verified = {output["name"] for output in manifest["verification"]["outputs"]}
    assert verified == {"y", *CACHE.values()}
    assert any("reset_state" in note for note in manifest["artifact"]["notes"])


def test_the_file_itself_keeps_and_resets_them(recurrent: Path) -> None:
    """Without irconv: x goes in, y comes out, and a reset begins anew."""
    random = np.random.default_rng(8)
    steps = [{"x": random.standard_normal((2, 3, 4)).astype(np.float32)} for _ in range(3)]
    zeros = dict.fromkeys(("h0", "c0"), np.zeros((1, 3, 6), np.float32))
    expected = stateless(recurrent, steps, zeros, {"h0": "h", "c0": "c"})

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = load_openvino().Core().compile_model(str(recurrent / "model.xml"), "CPU", settings)
    assert [port.any_name for port in model.inputs] == ["x"]
    assert len(model.outputs) == 1
    request = model.create_infer_request()
    for _ in range(2):
        for step, outputs in zip(steps, expected, strict=True):
            found = request.infer({0: step["x"]})[0]
            np.testing.assert_allclose(found, outputs["y"], rtol=1e-5, atol=1e-6)
        request.reset_state()


def test_a_state_that_is_given_is_set(recurrent: Path) -> None:
    random = np.random.default_rng(8)
    feeds = {"x": random.standard_normal((2, 3, 4)).astype(np.float32)}
    feeds |= {name: random.standard_normal((1, 3, 6)).astype(np.float32) for name in ("h0", "c0")}
    (expected,) = stateless(recurrent, [feeds], {}, {})

    for name, value in irconv.run(recurrent, feeds).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)
    partly = {"x": feeds["x"], "h0": feeds["h0"]}
    zero = np.zeros_like(feeds["c0"])
    (expected,) = stateless(recurrent, [partly | {"c0": zero}], {}, {})
    np.testing.assert_allclose(
        irconv.run(recurrent, partly)["c"], expected["c"], rtol=1e-5, atol=1e-6
    )
    with pytest.raises(InputError, match="lacks input 'x'"):
        irconv.run(recurrent, {"h0": feeds["h0"]})


def spec(name: str, *shape: int | str | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


INPUTS = [spec("x", "L", "N", 4), spec("h0", 1, "N", 6), spec("c0", 1, "N", 6), spec("i", "M")]
OUTPUTS = [spec("y", "L", "N", 6), spec("h", 1, "N", 6), spec("c", 1, "N", 6), spec("j", "M")]


def test_where_a_state_begins() -> None:
    (state,) = find_states(INPUTS, OUTPUTS, ("h0:h",))
    assert state.beginning == (1, ("x", 1), 6)
    colons = [spec("a:b", "N", 2, "past"), spec("x", "N")], [spec("c:d", "N", 2, "now")]
    (state,) = find_states(*colons, ("a:b:c:d",))
    assert state.beginning == (("x", 0), 2, 0)
    named = [spec("h0", 1), spec("c_in", 2), spec("past.0", 3)], [spec("hn", 1), spec("c_out", 2)]
    assert [s.output.name for s in find_states(*named, (True,))] == ["hn", "c_out"]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ((True,), "no output is named"),
        (("h0:c0",), "no pair"),
        (("h0:h", "h0:c"), "two pairs"),
        (("x:y",), "different sizes"),
        (("x:j",), "different ranks"),
        (("i:j",), "dimension 'M' of the state 'i' does not grow"),
    ],
)
def test_what_is_no_state_is_bad_input(pairs: tuple[bool | str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_states(INPUTS, OUTPUTS, pairs)


def test_a_wrong_pair_ends_a_compilation_and_leaves_nothing(
    recurrent: Path, tmp_path: Path
) -> None:
    source = recurrent.parent / "model.onnx"
    result = irconv.compile(source, ["openvino{stateful=[x:h]}"], tmp_path / "out")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "do not fit" in str(result.targets[0].error)
    assert not (tmp_path / "out").exists()


def test_the_command_line_leaves_states_out(recurrent: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(8).standard_normal((2, 3, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    arguments = ["run", str(recurrent), "--input", f"x={tmp_path / 'x.npy'}"]
    assert run([*arguments, "-o", str(tmp_path / "y.npz")]) == ExitCode.OK
    with np.load(tmp_path / "y.npz") as written:
        zeros = dict.fromkeys(("h0", "c0"), np.zeros((1, 3, 6), np.float32))
        (expected,) = stateless(recurrent, [{"x": x}], zeros, {})
        np.testing.assert_allclose(written["y"], expected["y"], rtol=1e-5, atol=1e-6)


def test_true_and_pairs_do_not_mix() -> None:
    with pytest.raises(UsageError, match="not both"):
        load_registry().build_backend("openvino{stateful=[true,h0:h]}")
    assert load_registry().build_backend("openvino{stateful=false}").stateful == ()
