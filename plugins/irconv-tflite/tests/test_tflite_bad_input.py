"""What the target ``tflite`` refuses, through the public interface: named at once, exit code 4."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_tflite.backend import TfliteBackend
from irconv_tflite.emit import lower as lowering
from irconv_tflite.emit import serialize
from onnx import helper, numpy_helper

import irconv
from irconv.backends.base import EmitRequest
from irconv.cli.main import run
from irconv.errors import Diagnostic, ExitCode, UnsupportedError

_HEADER = '<ir_version: 9, opset_import: ["" : 18, "ai.onnx.ml" : 3]> '


def save(folder: Path, body: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(_HEADER + body), path)
    return path


def refusals(folder: Path, body: str, target: str = "tflite") -> list[Diagnostic]:
    """Compile without writing, which must end in exit code 4, and return every refusal."""
    result = irconv.compile(save(folder, body), [target], None)
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    return list(error.diagnostics)


def test_every_node_is_named_with_what_helps(tmp_path: Path) -> None:
    found = refusals(
        tmp_path,
        """g (float[2, 3] x, bool c) => (float[2, 3] y, float[2, 3] z, float[2, 3] b) {
            [outer] y = If(c) <
                then_branch = t () => (float[2, 3] p) { [inner] p = RandomNormalLike(x) },
                else_branch = e () => (float[2, 3] q) { q = Neg(x) }
            >
            [drawn] z = RandomUniformLike(x)
            [classic] b = ai.onnx.ml.Binarizer<threshold = 0.5>(x)
        }""",
    )
    assert {(entry.node, entry.op) for entry in found} == {
        ("inner", "RandomNormalLike"),
        ("drawn", "RandomUniformLike"),
        ("classic", "ai.onnx.ml::Binarizer"),
    }
    ways_out = {entry.node: entry.way_out for entry in found}
    assert "export it for inference" in ways_out["inner"]
    assert "tensor operators" in ways_out["classic"]


@pytest.mark.parametrize(
    "product",
    [
        "Gemm<transB = 1>(r, q)", "Gemm<transA = 1>(r, q)", "Gemm(w, r)", "Gemm(q, w, r)",
        "MatMul(r, w)",
    ],
)  # fmt: skip
def test_an_unknown_rank_is_named(product: str) -> None:
    model = ir.from_onnx_text(
        _HEADER + "g (float[2, 3] x, float[2, 3] q, float[3, 2] w, int64[k] axes) "
        f"=> (float[2, 2] y) {{ r = Squeeze(x, axes) [product] y = {product} }}"
    )
    model.graph[0].outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    found = {entry.node: entry for entry in TfliteBackend().check(model, {})}
    assert found["product"].code == "UNKNOWN_RANK"
    assert "'r'" in found["product"].reason
    assert found["product"].way_out


@pytest.mark.parametrize(
    "body",
    [
        "g (string[2] x) => (string[2] y) { y = Identity(x) }",
        "g (float[2] x) => (float8e4m3fn[2] y) { y = Cast<to = 17>(x) }",
        "g (uint64[2] x, uint64[2] z) => (bool[2] y) { y = Less(x, z) }",
    ],
)
def test_a_dtype_that_it_lacks_is_named(body: str, tmp_path: Path) -> None:
    found = refusals(tmp_path, body)
    assert {entry.code for entry in found} == {"UNSUPPORTED_DTYPE"}
    assert all("convert" in entry.way_out for entry in found)


_NINE = "2,1,2,1,2,1,2,1,3"
_OVER = [
    (
        f"""g (float[{_NINE}] x, float[2,1,1] z) => (float[2,1,2,1,2,1,2,1,3] y)
            {{ y = Mul(x, z) }}""",
        8,
    ),
    (
        f"""g (float[{_NINE}] x) => (float[3,1,2,1,2,1,2,1,2] y)
            {{ y = Transpose<perm = [8,7,6,5,4,3,2,1,0]>(x) }}""",
        8,
    ),
    ("g (float[2,1,2,1,2,1,2] x) => (float[2,1,2,1,2,1,2] y) { y = Softmax(x) }", 6),
    (
        """g (float[2,1,2,1,2,2] x) => (float[2,1,2,1,2,3] y)
            <int64[12] p = {0,0,0,0,0,0,0,0,0,0,0,1}>
            { i = Cast<to = 6>(x) q = Pad(i, p) y = Cast<to = 1>(q) }""",
        5,
    ),
]


@pytest.mark.parametrize(("body", "most"), _OVER)
def test_a_rank_over_the_limit_is_refused_before_a_kernel_aborts(
    body: str, most: int, tmp_path: Path
) -> None:
    found = refusals(tmp_path, body)
    assert {entry.code for entry in found} == {"RANK_LIMIT"}
    assert all(f"at most {most} dimensions" in entry.reason for entry in found)


def test_operands_of_one_shape_may_have_any_rank(tmp_path: Path) -> None:
    body = f"g (float[{_NINE}] x, float[{_NINE}] z) => (float[{_NINE}] y) {{ y = Mul(x, z) }}"
    result = irconv.compile(save(tmp_path, body), ["tflite"], tmp_path / "out")
    assert result.exit_code == ExitCode.OK


_POOL = """g (float[N, 1, height, width] x, float[K] z) => (float[N, 1, H, W] y, float[K] e) {
    y = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x)
    e = Exp(z)
}"""


def test_dynamic_dimensions_are_named_with_the_options_that_bind_them(tmp_path: Path) -> None:
    (found,) = refusals(tmp_path, _POOL)
    assert found.code == "DYNAMIC_SHAPE"
    assert "'height' of input 'x'" in found.way_out
    assert "'K'" not in found.way_out, "the node does not depend on it"
    options = [text for text in found.way_out.split("'") if "=" in text]
    result = irconv.compile(save(tmp_path, _POOL), ["tflite"], tmp_path / "out", shapes=options)
    assert result.exit_code == ExitCode.OK


def test_dimensions_without_a_name_are_shown_with_the_input(tmp_path: Path) -> None:
    body = """g (float[1, 1, ?, 8] x) => (float[1, 1, ?, 4] y)
        { y = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x) }"""
    (found,) = refusals(tmp_path, body)
    assert "--input 'x[1,1,8,8]'" in found.way_out


def test_the_command_line_ends_with_4_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, "g (float[2] x) => (float[2] y) { [drawn] y = RandomNormalLike(x) }")
    out = tmp_path / "out"
    code = run(["compile", str(path), "--target", "tflite", "-o", str(out), "--json"])
    printed = capsys.readouterr()
    assert code == ExitCode.UNSUPPORTED
    assert "drawn" in json.dumps(json.loads(printed.out))
    assert "Traceback" not in printed.err
    assert not out.exists()


def _sum_with_constant(nbytes: int) -> ir.Model:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [info("x", onnx.TensorProto.FLOAT, [nbytes // 4])],
        [info("y", onnx.TensorProto.FLOAT, [nbytes // 4])],
        [numpy_helper.from_array(np.ones(nbytes // 4, np.float32), "w")],
    )
    return ir.from_proto(helper.make_model(graph, ir_version=9))


def test_the_size_limit_counts_constants_as_they_are_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = _sum_with_constant(4000)
    monkeypatch.setattr(lowering, "MAX_BYTES", 3000)
    assert [entry.code for entry in TfliteBackend().check(model, {})] == ["SIZE_LIMIT"]
    assert TfliteBackend(precision="f16").check(model, {}) == []

    monkeypatch.setattr(serialize, "MAX_BYTES", 3000)
    with pytest.raises(UnsupportedError) as caught:
        TfliteBackend().emit(model, tmp_path, EmitRequest())
    assert [entry.code for entry in caught.value.diagnostics] == ["SIZE_LIMIT"]


def test_names_that_meet_are_mapped_in_the_manifest(tmp_path: Path) -> None:
    path = save(tmp_path, "g (float[2] exp) => (float[2] abs) { t = Exp(exp) abs = Abs(t) }")
    model = onnx.load(path)
    for name, odd in {"exp": "in/0:a b", "abs": "exp"}.items():
        for values in (model.graph.input, model.graph.output):
            for value in values:
                value.name = odd if value.name == name else value.name
        for node in model.graph.node:
            node.input[:] = [odd if item == name else item for item in node.input]
            node.output[:] = [odd if item == name else item for item in node.output]
    onnx.save(model, path)
    result = irconv.compile(path, ["tflite"], tmp_path / "out")
    data = result.targets[0].manifest["artifact"]["data"]
    tensors = {entry["name"]: entry["tensor"] for entry in (*data["inputs"], *data["outputs"])}
    assert set(tensors) == {"in/0:a b", "exp"}
    assert len(set(tensors.values())) == 2
    x = np.array([0.5, -1], np.float32)
    outputs = irconv.run(tmp_path / "out" / "tflite", {"in/0:a b": x})
    np.testing.assert_allclose(outputs["exp"], np.exp(x), rtol=1e-6)
