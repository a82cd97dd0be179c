"""The parts of the plugin: tensors, the SDK's import and messages, the table of refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from irconv_openvino.backend import OpenvinoBackend
from irconv_openvino.sdk import first_line, unconverted_operators
from irconv_openvino.support import caveat, refusal

from irconv.backends.base import Artifact, EmitRequest
from irconv.errors import InputError, MissingError, UnsupportedError
from irconv.shapes import DimRange


def parse(body: str, opset: int = 21) -> ir.Model:
    return ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : {opset}]> {body}')


def run(
    model: ir.Model, folder: Path, feeds: Mapping[str, np.ndarray], **options
) -> dict[str, np.ndarray]:
    backend = OpenvinoBackend(**options)
    artifact = backend.emit(model, folder, EmitRequest())
    with backend.runner(folder, Artifact.from_json(artifact.to_json())) as runner:
        return runner.run(feeds)


@pytest.mark.parametrize(
    ("onnx_name", "dtype"),
    [
        ("bfloat16", ml_dtypes.bfloat16),
        ("float8e4m3fn", ml_dtypes.float8_e4m3fn),
        ("float8e5m2", ml_dtypes.float8_e5m2),
        ("int4", ml_dtypes.int4),
        ("uint4", ml_dtypes.uint4),
        ("float16", np.float16),
        ("double", np.float64),
        ("int64", np.int64),
        ("uint16", np.uint16),
        ("bool", np.bool_),
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3)], ids=str)
def test_every_dtype_goes_in_and_comes_out(
    onnx_name: str, dtype: type, shape: tuple[int, ...], tmp_path: Path
) -> None:
    dims = ",".join(map(str, shape))
    kind = f"{onnx_name}[{dims}]" if shape else onnx_name
    x = np.asarray(np.arange(int(np.prod(shape))) % 7).astype(dtype).reshape(shape)

    outputs = run(parse(f"g ({kind} x) => ({kind} y) {{ y = Identity(x) }}"), tmp_path, {"x": x})

    assert outputs["y"].dtype == x.dtype
    assert outputs["y"].shape == x.shape
    assert outputs["y"].astype(np.float64).tolist() == x.astype(np.float64).tolist()


def test_outputs_that_are_one_tensor_and_inputs_that_nothing_reads(tmp_path: Path) -> None:
    model = parse(
        "g (float[2] unread, float[2] x, float[2] like) => (float[2] b, float[2] a, float[2] c)"
        "{ a = Relu(x) b = Identity(a) c = CastLike(a, like) }"
    )
    x = np.array([-1, 2], np.float32)

    outputs = run(model, tmp_path, {"unread": x, "x": x, "like": x})

    assert list(outputs) == ["b", "a", "c"]
    assert all(value.tolist() == [0, 2] for value in outputs.values())


def test_an_input_that_openvino_renames(tmp_path: Path) -> None:
    """Dropout goes, and the input is then known by the name of Dropout's output."""
    model = parse("g (float[2] x, float[2] z) => (float[2] y, float[2] w) "
                  "{ y = Dropout(x) w = Dropout(z) }")  # fmt: skip
    x, z = np.array([1, 2], np.float32), np.array([3, 4], np.float32)

    outputs = run(model, tmp_path, {"x": x, "z": z})

    assert [outputs["y"].tolist(), outputs["w"].tolist()] == [[1, 2], [3, 4]]


def test_there_is_no_highest_rank(tmp_path: Path) -> None:
    shape = (*[1] * 9, 2, 3, 4)
    perm = [*reversed(range(12))]
    dims = ",".join(map(str, shape))
    turned = ",".join(map(str, reversed(shape)))
    model = parse(f"g (float[{dims}] x) => (float[{turned}] y) {{ y = Transpose<perm={perm}>(x) }}")
    x = np.arange(24, dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(run(model, tmp_path, {"x": x})["y"], x.transpose(perm))


def test_named_dimensions_are_bounded(tmp_path: Path) -> None:
    model = parse("g (float[N, M] x) => (float[N, M] y) { y = Relu(x) }")
    backend = OpenvinoBackend()
    artifact = backend.emit(model, tmp_path, EmitRequest({"N": DimRange(1, 2, 4)}))

    assert 'shape="1..4,?"' in (tmp_path / "model.xml").read_text()
    with backend.runner(tmp_path, artifact) as runner:
        assert runner.run({"x": np.ones((4, 3), np.float32)})["y"].shape == (4, 3)
        with pytest.raises(InputError, match=r"shape \[5, 3\]"):
            runner.run({"x": np.ones((5, 3), np.float32)})


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_runner_sets_the_precision(precision: str, tmp_path: Path) -> None:
    backend = OpenvinoBackend(precision=precision)
    artifact = backend.emit(
        parse("g (float[2, 2] x) => (float[2, 2] y) { y = MatMul(x, x) }"), tmp_path, EmitRequest()
    )
    with backend.runner(tmp_path, artifact) as runner:
        reported = runner.describe()["precision"]

    assert artifact.requires["config"]["INFERENCE_PRECISION_HINT"] == precision
    assert reported in {precision, "f32"}, "a device without bfloat16 units says f32"
    assert precision == "bf16" or reported == "f32"


def test_a_device_that_is_not_here(tmp_path: Path) -> None:
    backend = OpenvinoBackend(device="NPU.7")
    artifact = backend.emit(parse("g (float[2] x) => (float[2] y) { y = Relu(x) }"), tmp_path,
                            EmitRequest())  # fmt: skip
    with pytest.raises(MissingError, match="NPU"):
        backend.runner(tmp_path, artifact)


def test_what_the_importer_refuses_names_every_node(tmp_path: Path) -> None:
    model = parse("g (float[2, 2] x) => (float a, float b) { [one] a = Det(x) [two] b = Det(x) }")
    with pytest.raises(UnsupportedError) as caught:
        OpenvinoBackend().emit(model, tmp_path, EmitRequest())

    assert [entry.node for entry in caught.value.diagnostics] == ["one", "two"]
    assert list(tmp_path.iterdir()) == []


def test_openvino_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom irconv_openvino.sdk import load_openvino\n"
        "assert load_openvino().Core() is not None\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, irconv_openvino.plugin\n"
        "heavy = {'openvino', 'numpy', 'onnx', 'onnx_ir'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_messages_in_our_words() -> None:
    text = (
        "Exception from src/core.cpp:84:\nCheck 'false' failed at src/report.cpp:151:\n"
        "FrontEnd API failed with OpConversionFailure:\n"
        "Model wasn't fully converted. Failed operations detailed log:\n"
        "-- Split-20 with a message:\nWhile validating ONNX node '<Node(Split): a>':\n"
        "The split number is invalid\n\nSummary:\n"
        "-- No conversion rule found for operations: Det-20, com.acme.FooBar\n"
    )
    assert first_line(RuntimeError(text)) == "Split: The split number is invalid"
    assert unconverted_operators(text) == ["Det", "com.acme.FooBar"]


REFUSED = {
    "UNSUPPORTED_OP": [
        "g (float[2, 2] x) => (float y) { y = Det(x) }",
    ],
    "UNSUPPORTED_DTYPE": [
        "g (string[2] x) => (bool[2] y) { y = Equal(x, x) }",
        "g (float8e4m3fnuz[2] x) => (float[2] y) { y = Cast<to=1>(x) }",
    ],
    "UNSUPPORTED_FORM": [
        "g (float[2] x, int64[1] axes) => (float[M, N] y) { y = Unsqueeze(x, axes) }",
        "g (float[2, 3] x, int64[2] a) => (float y) { y = ReduceSum<keepdims=0>(x, a) }",
        "g (float[4] x, int64[2] p) => (float[M] y) { y = Pad<mode='wrap'>(x, p) }",
        "g (float[2] x) => (float[2] y) { y = Mod<fmod=0>(x, x) }",
    ],
    "WRONG_RESULTS": [
        "g (float[2] x, int64[1] r) => (float[M] y) { y = Tile(x, r) }",
        "g (int8[2] x) => (int8[2] y) { y = BitShift<direction='LEFT'>(x, x) }",
        "g (float[2] x) => (float8e5m2[2] y) { y = Cast<to=19>(x) }",
        (
            "g (float[1, 2, 3] x, float[1, 4, 3] w, float[1, 4, 4] r) => (float[M, N, O, P] y)"
            "{ y = RNN<hidden_size=4, layout=1>(x, w, r) }"
        ),
    ],
}


@pytest.mark.parametrize(
    ("code", "body"), [(code, body) for code, bodies in REFUSED.items() for body in bodies]
)
def test_refusals_have_a_code_a_reason_and_a_way_out(code: str, body: str) -> None:
    (diagnostic,) = [
        entry
        for entry in OpenvinoBackend().check(parse(body.replace("'", '"')), {})
        if entry.code != "UNSUPPORTED_INTERFACE"
    ]
    assert diagnostic.code == code
    assert diagnostic.reason
    assert diagnostic.way_out


def test_an_empty_constant_is_refused_where_it_would_be_read_as_a_scalar() -> None:
    gather, reshape = (
        next(iter(parse(body).graph))
        for body in (
            "g (float[2] x) => (float[0] y) <int64[0] i = {}> { y = Gather(x, i) }",
            "g (float[1] x) => (float y) <int64[0] s = {}> { y = Reshape(x, s) }",
        )
    )
    assert "scalar" in refusal(gather).reason
    assert refusal(reshape).ok


def test_special_cases_are_noted_in_the_artifact(tmp_path: Path) -> None:
    model = parse(
        "g (double[1, 1, 4] x) => (double[1, 1, 2] y) { y = MaxPool<kernel_shape=[3]>(x) }"
    )
    assert caveat(next(iter(model.graph)))

    notes = OpenvinoBackend().emit(model, tmp_path, EmitRequest()).notes

    assert any(note.startswith("MaxPool: ") for note in notes)
    assert any(note.startswith("float64: ") for note in notes)
