"""The target ``torchscript``: what it writes and runs, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_torchscript.backend import TorchscriptBackend

import irconv
from irconv.backends.base import Artifact, EmitRequest
from irconv.errors import BackendError, ExitCode, UnsupportedError
from irconv.passes.base import PassContext
from irconv.passes.infer_shapes import InferShapes
from irconv.shapes import DimRange
from irconv.testing import assert_backend_conforms


def parse(body: str, opset: int = 28) -> ir.Model:
    model = ir.from_onnx_text(f'<ir_version: 13, opset_import: ["" : {opset}]> {body}')
    InferShapes().run(model, PassContext())
    return model


def run(
    model: ir.Model, folder: Path, *samples: Mapping[str, object], **options: str
) -> list[dict[str, np.ndarray]]:
    backend = TorchscriptBackend(**options)
    assert backend.check(model, {}) == []
    artifact = backend.emit(model, folder, EmitRequest({"N": DimRange(1, 3, 8)}))
    with backend.runner(folder, Artifact.from_json(artifact.to_json())) as runner:
        return [runner.run(sample) for sample in samples]


SHAPED = """g (float[N, 2, 3] x) => (float[N, M] y) <int64[1] first = {0}, int64[1] rest = {-1}> {
    s = Shape(x)
    n = Gather<axis = 0>(s, first)
    target = Concat<axis = 0>(n, rest)
    y = Reshape(x, target)
}"""


@pytest.mark.parametrize("form", ["pt", "pt2"])
def test_dynamic_sizes_stay_dynamic(form: str, tmp_path: Path) -> None:
    samples = [{"x": np.random.rand(size, 2, 3).astype(np.float32)} for size in (1, 4, 7)]
    for sample, result in zip(samples, run(parse(SHAPED), tmp_path, *samples, form=form),
                              strict=True):  # fmt: skip
        np.testing.assert_array_equal(result["y"], sample["x"].reshape(len(sample["x"]), -1))


def test_the_archive_names_its_interface_and_opens_without_irconv(tmp_path: Path) -> None:
    model = parse("g (float[2] x) => (float[2] y, int64[1] s) { y = Relu(x) s = Shape(x) }")
    model.graph.inputs[0].name = "in/0:first"
    run(model, tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        document = json.loads(archive.read("model/extra/irconv.json"))
    code = (
        "import sys, torch\n"
        "y, s = torch.jit.load(sys.argv[1])(torch.tensor([-1.0, 2.0]))\n"
        "assert y.tolist() == [0, 2] and s.tolist() == [2]\n"
        "assert not any(name.startswith('irconv') for name in sys.modules)\n"
    )
    assert [entry["name"] for entry in document["inputs"]] == ["in/0:first"]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "model.pt")], check=True
    )


LOOP = """g (int64 trips, bool start, float[2] x) => (float[2] y, float[K, 2] all) {
    y, all = Loop(trips, start, x) <body = b (int64 i, bool go, float[2] v)
        => (bool keep, float[2] w, float[2] each) {
        w = Add(v, x)
        limit = Constant<value = float {9.0}>()
        total = ReduceSum<keepdims = 0>(w)
        keep = Less(total, limit)
        each = Identity(w)
    }>
}"""


def test_a_loop_ends_by_its_condition_or_its_count(tmp_path: Path) -> None:
    x = np.array([1, 2], np.float32)
    feeds = [
        {"trips": np.array(trips), "start": np.array(start), "x": x}
        for trips, start in ((10, True), (1, True), (5, False))
    ]
    outputs = run(parse(LOOP), tmp_path, *feeds)
    assert [len(each["all"]) for each in outputs] == [2, 1, 0]
    assert outputs[0]["y"].tolist() == [3, 6]
    assert outputs[2]["all"].shape == (0, 2)


OPTIONAL_LOOP = """g (int64 trips, optional(float[2]) start) => (float[2] y) {
    y = Loop(trips, , start) <body = b (int64 i, bool go, optional(float[2]) v)
        => (bool keep, float[2] w) {
        keep = Identity(go)
        has = OptionalHasElement(v)
        w = If(has) <
            then_branch = t () => (float[2] p) { g = OptionalGetElement(v) p = Add(g, g) },
            else_branch = e () => (float[2] q) { q = Constant<value = float[2] {1.0, 3.0}>() }
        >
    }>
}"""


def test_a_loop_starts_from_nothing_and_ends_with_a_value(tmp_path: Path) -> None:
    start = np.array([2, 5], np.float32)
    feeds = [{"trips": np.array(3), "start": value} for value in (None, start)]
    outputs = run(parse(OPTIONAL_LOOP), tmp_path, *feeds)
    assert [each["y"].tolist() for each in outputs] == [[4, 12], [16, 40]]
    with pytest.raises(BackendError, match="no trips"):
        run(parse(OPTIONAL_LOOP), tmp_path, {"trips": np.array(0), "start": None})


def test_a_branch_reads_outer_values(tmp_path: Path) -> None:
    model = parse("""g (bool c, float[2] x) => (float[2] y) { z = Neg(x) y = If(c) <
        then_branch = t () => (float[2] p) { p = Exp(z) },
        else_branch = e () => (float[2] q) { q = Add(z, x) }> }""")
    x = np.array([0.5, 1.5], np.float32)
    true, false = run(model, tmp_path, *({"c": np.array(flag), "x": x} for flag in (True, False)))
    np.testing.assert_allclose(true["y"], np.exp(-x), rtol=1e-6)
    assert false["y"].tolist() == [0, 0]


def test_sequences_and_optionals_cross_the_interface(tmp_path: Path) -> None:
    model = parse("""g (seq(float[A]) s, optional(float[2]) o) => (seq(float[B]) t, bool h) {
        t = SequenceErase(s) h = OptionalHasElement(o) }""")
    items = [np.full(size, size, np.float32) for size in (1, 2, 3)]
    empty, full = run(
        model, tmp_path, {"s": items, "o": None}, {"s": items, "o": np.zeros(2, np.float32)}
    )
    assert [item.tolist() for item in empty["t"]] == [[1], [2, 2]]
    assert (bool(empty["h"]), bool(full["h"])) == (False, True)


@pytest.mark.parametrize(
    ("onnx_name", "dtype"),
    [
        ("bfloat16", ml_dtypes.bfloat16),
        ("float8e4m3fn", ml_dtypes.float8_e4m3fn),
        ("float4e2m1", ml_dtypes.float4_e2m1fn),
        ("int4", ml_dtypes.int4),
        ("uint4", ml_dtypes.uint4),
        ("float16", np.float16),
        ("double", np.float64),
        ("uint16", np.uint16),
        ("uint32", np.uint32),
        ("uint64", np.uint64),
        ("bool", np.bool_),
    ],
)
def test_every_dtype_goes_in_and_comes_out(onnx_name: str, dtype: type, tmp_path: Path) -> None:
    x = np.arange(6).astype(dtype).reshape(2, 3)
    model = parse(f"g ({onnx_name}[2, N] x) => ({onnx_name}[N, 2] y) {{ y = Transpose(x) }}")
    (outputs,) = run(model, tmp_path, {"x": x})
    assert outputs["y"].dtype == x.dtype
    assert outputs["y"].astype(np.float64).tolist() == x.T.astype(np.float64).tolist()


def test_uint64_is_exact_above_the_signed_range(tmp_path: Path) -> None:
    model = parse("""g (uint64[N] a, uint64[N] b) => (uint64[N] q, uint64[N] r, bool[N] l,
        uint64[N] m, double[N] d) { q = Div(a, b) r = Mod(a, b) l = Less(a, b) m = Max(a, b)
        d = Cast<to = 11>(a) }""")
    top = 2**64 - 1
    a = np.array([top, 2**63, 7, top - 1, 2**63 + 5], np.uint64)
    b = np.array([3, 2**63 + 1, 2, top, 10], np.uint64)
    (out,) = run(model, tmp_path, {"a": a, "b": b})
    assert out["q"].tolist() == (a // b).tolist()
    assert out["r"].tolist() == (a % b).tolist()
    assert out["l"].tolist() == (a < b).tolist()
    assert out["m"].tolist() == np.maximum(a, b).tolist()
    assert out["d"].tolist() == a.astype(np.float64).tolist()


def test_integers_wrap_and_divide_toward_zero(tmp_path: Path) -> None:
    model = parse("""g (uint16[3] a, uint16[3] b, int32[3] c, int32[3] d) => (uint16[3] s,
        uint16[3] p, int32[3] q, int32[3] m, int32[3] f) { s = Sub(a, b) p = Mul(a, b)
        q = Div(c, d) m = Mod(c, d) f = Mod<fmod = 1>(c, d) }""")
    a, b = np.array([1, 65535, 300], np.uint16), np.array([2, 65535, 300], np.uint16)
    c, d = np.array([-7, 7, -6], np.int32), np.array([2, -2, 4], np.int32)
    (out,) = run(model, tmp_path, {"a": a, "b": b, "c": c, "d": d})
    assert out["s"].tolist() == (a - b).tolist()
    assert out["p"].tolist() == (a * b).tolist()
    assert out["q"].tolist() == [-3, -3, -1]
    assert out["m"].tolist() == [1, -1, 2]
    assert out["f"].tolist() == [-1, 1, -2]


def compiled(folder: Path, text: str, target: str = "torchscript") -> irconv.CompileResult:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18]> {text}'), path)
    return irconv.compile(path, [target], folder / "out")


def test_every_node_that_it_lacks_is_named(tmp_path: Path) -> None:
    count = (
        "TfIdfVectorizer<max_gram_length = 1, min_gram_length = 1, max_skip_count = 0, "
        'mode = "TF", ngram_counts = [0], ngram_indexes = [0, 1], pool_int64s = [2, 3]>'
    )
    text = f"""g (float[2] z, int64[5] t) => (float[2] y, float[2] a, float[2] b) {{
        [one] a = {count}(t) [two] b = {count}(t) y = Relu(z) }}"""
    result = compiled(tmp_path, text)
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    assert [(entry.node, entry.op) for entry in error.diagnostics] == [
        ("one", "TfIdfVectorizer"), ("two", "TfIdfVectorizer"),
    ]  # fmt: skip
    assert all(entry.way_out for entry in error.diagnostics)
    assert not (tmp_path / "out").exists()


JOIN = "g (seq(float[A]) x) => (float[B] y) { y = ConcatFromSequence<axis = 0>(x) }"


@pytest.mark.parametrize(
    ("code", "text", "form"),
    [
        ("UNSUPPORTED_DTYPE", "g (uint16[N] x) => (uint16[M] y) { y = Celu(x) }", "pt"),
        ("MIXED_DTYPES", "g (float[N] x, int64[N] z) => (float[N] y) { y = Mul(x, z) }", "pt"),
        ("UNSUPPORTED_FORM", "g (float[2, 2, N] x, W) => (Y) { Y = Conv(x, W) }", "pt"),
        ("UNSUPPORTED_OP", LOOP, "pt2"),
        ("UNSUPPORTED_INTERFACE", JOIN, "pt2"),
    ],
)  # fmt: skip
def test_what_it_lacks_has_a_code_a_reason_and_a_way_out(code: str, text: str, form: str) -> None:
    model = ir.from_onnx_text(f'<ir_version: 13, opset_import: ["" : 28]> {text}')
    found = TorchscriptBackend(form=form).check(model, {})
    assert code in {entry.code for entry in found}
    assert all(entry.reason and entry.way_out for entry in found)


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, irconv_torchscript.plugin\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnx_ir', 'executorch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_of_operators_needs_no_torch() -> None:
    code = (
        "import sys, onnx_ir as ir\n"
        "from irconv_torchscript.backend import TorchscriptBackend\n"
        "assert TorchscriptBackend().supports(ir.node('Relu', [])).ok\n"
        "assert not TorchscriptBackend().supports(ir.node('Unheard', [])).ok\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_it_keeps_every_promise() -> None:
    assert_backend_conforms("torchscript")


@pytest.mark.slow
def test_the_exported_form_keeps_every_promise() -> None:
    assert_backend_conforms("torchscript{form=pt2}")


def test_freezing_leaves_the_number_of_threads_as_it_was(tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(parse("g (float[2] x) => (float[2] y) { y = Exp(x) }"), tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
