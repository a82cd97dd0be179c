"""The target ``coreml``: real models through the saved package, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_coreml.backend import CoremlBackend
from irconv_coreml.feature_names import feature_names
from onnx import helper, numpy_helper

import irconv
from irconv.backends.base import EmitRequest
from irconv.errors import ExitCode, InputError, UnsupportedError, UsageError
from irconv.passes.base import PassContext
from irconv.plugins import load_registry
from irconv.shapes import DimRange
from irconv.spec import parse_spec
from irconv.testing import assert_backend_conforms


def save(folder: Path, text: str, **weights: np.ndarray) -> Path:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()
    )
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def parse(body: str) -> ir.Model:
    return ir.from_onnx_text(f'<ir_version: 13, opset_import: ["" : 28]> {body}')


def legal(path: Path) -> ir.Model:
    """Return a model of opset 28 with its shapes inferred."""
    model = ir.load(path)
    load_registry().build_pass("infer-shapes").run(model, PassContext())
    return model


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A CNN with a dynamic batch; two outputs of other dtypes, not in order of computation."""
    random = np.random.default_rng(5)
    text = """
        < ir_version: 10, opset_import: ["" : 20] >
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
    return save(tmp_path, text, **{key: random.standard_normal(s) for key, s in shapes.items()})


_SLOW = [
    pytest.param(target, marks=pytest.mark.slow)
    for target in ("coreml{precision=f16}", "coreml{target=iOS15}", "coreml{target=iOS26}")
]


@pytest.mark.parametrize("target", ["coreml", *_SLOW])
def test_it_is_built_and_proved_by_reading_it_back(
    network: Path, tmp_path: Path, target: str
) -> None:
    result = irconv.compile(network, [target], tmp_path / "out", shapes=["N=1..8@4"])
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    manifest = json.loads((result.targets[0].directory / "manifest.json").read_text())

    assert manifest["verification"]["verdict"] == "pass"
    assert manifest["verification"]["level"] in ("reference", "artifact")
    assert [output["name"] for output in manifest["outputs"]] == ["label", "scores"]


def run(
    model: ir.Model, folder: Path, feeds: dict[str, np.ndarray], ranges=None, **options
) -> dict[str, np.ndarray]:
    backend = CoremlBackend(**options)
    assert backend.check(model, ranges or {}) == []
    artifact = backend.emit(model, folder, EmitRequest(ranges or {}))
    with backend.runner(folder, artifact) as runner:
        return runner.run(feeds)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product with a wide constant matrix, over a dynamic batch."""
    weight = np.random.default_rng(3).standard_normal((64, 32))
    text = """
        <ir_version: 13, opset_import: ["" : 28]>
        g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"""
    return save(tmp_path, text, w=weight)


@pytest.mark.parametrize(
    ("options", "worst"),
    [
        ({}, 1e-6),
        ({"precision": "f16"}, 2e-3),
        ({"weights": "int8"}, 1e-2),
        ({"weights": "int4", "target": "iOS18"}, 0.15),
        ({"weights": "palette8"}, 1e-2),
        ({"weights": "palette6"}, 5e-2),
        ({"weights": "palette4"}, 0.25),
        ({"shapes": "enumerated"}, 1e-6),
        ({"shapes": "functions", "target": "iOS18"}, 1e-6),
    ],
    ids=str,
)
def test_each_option_keeps_the_meaning(
    options: dict[str, str], worst: float, product: Path, tmp_path: Path
) -> None:
    model = legal(product)
    weight = model.graph.initializers["w"].const_value.numpy()
    for spec in CoremlBackend(**options).legalization():
        load_registry().build_pass(parse_spec(spec)).run(model, PassContext())
    x = np.random.default_rng(4).standard_normal((4, 64)).astype(np.float32)
    folder = tmp_path / "artifact"
    folder.mkdir()

    y = run(model, folder, {"x": x}, {"N": DimRange(1, 4, 8)}, **options)["y"]

    expected = x @ weight
    error = np.abs(y - expected).max() / np.abs(expected).max()
    assert error <= worst
    assert (error > 1e-6) == ("precision" in options or "weights" in options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "weights=int8",
        "weights=int8,precision=f16",
        "weights=int4,target=iOS18",
        "weights=palette8",
        "weights=palette6,target=iOS18",
        "weights=palette4",
    ],
)
def test_rounded_weights_are_stored_small_and_verify(
    options: str, product: Path, tmp_path: Path
) -> None:
    target = f"coreml{{{options}}}"

    result = irconv.compile(product, [target], tmp_path / "out", shapes=["N=1..8@4"])

    assert result.exit_code == ExitCode.OK
    packages = list((tmp_path / "out").rglob("*.mlpackage"))
    (stored,) = packages[0].rglob("weight.bin")
    assert stored.stat().st_size < 64 * 32 * 4 / 2


def test_an_image_is_scaled_inside_the_package(tmp_path: Path) -> None:
    model = parse("g (float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y) { y = Relu(x) }")
    pixels = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    x = pixels / 32 - 0.5
    options = {"image": ("x",), "scale": 1 / 32, "bias": (-0.5,)}

    y = run(model, tmp_path, {"x": x}, **options)["y"]

    np.testing.assert_allclose(y, np.maximum(x, 0), atol=1e-6)


def test_integers_of_64_bits_come_back_as_such_and_too_large_ones_are_bad_input(
    tmp_path: Path,
) -> None:
    model = parse("g (int64[2] x) => (int64[2] y) { y = Add(x, x) }")
    y = run(model, tmp_path, {"x": np.array([3, -4])})["y"]
    assert (y.dtype, y.tolist()) == (np.int64, [6, -8])

    backend = CoremlBackend()
    folder = tmp_path / "again"
    folder.mkdir()
    artifact = backend.emit(model, folder, EmitRequest())
    with backend.runner(folder, artifact) as runner, pytest.raises(InputError):
        runner.run({"x": np.array([2**40, 0])})


def test_narrow_integers_wrap(tmp_path: Path) -> None:
    model = parse("g (uint8[2] x, int8[2] z) => (uint8[2] a, int8[2] b)"
                  "{ a = Add(x, x) b = Mul(z, z) }")  # fmt: skip
    outputs = run(
        model, tmp_path, {"x": np.array([200, 3], np.uint8), "z": np.array([100, -7], np.int8)}
    )
    assert outputs["a"].tolist() == [144, 6]
    assert outputs["b"].tolist() == [16, 49]


def test_names_that_core_ml_does_not_take(tmp_path: Path) -> None:
    names = ["a b", "a:b", "2x", "float32 y", "add_0", "程"]
    graph = helper.make_graph(
        [helper.make_node("Add", names[:2], ["t"]),
         helper.make_node("Add", ["t", names[2]], [names[3]]),
         helper.make_node("Neg", ["t"], [names[4]]), helper.make_node("Abs", ["t"], [names[5]])],
        "g",
        [helper.make_tensor_value_info(name, 1, [2]) for name in names[:3]],
        [helper.make_tensor_value_info(name, 1, [2]) for name in names[3:]],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 28)]
    model = ir.from_proto(helper.make_model(graph, opset_imports=opset, ir_version=13))
    load_registry().build_pass("infer-shapes").run(model, PassContext())
    taken = feature_names(model)
    assert len(set(taken.values())) == len(names)
    assert all(name.isascii() and name.isidentifier() for name in taken.values())

    one = np.ones(2, np.float32)
    outputs = run(model, tmp_path, dict.fromkeys(names[:3], one))

    assert {name: value.tolist() for name, value in outputs.items()} == {
        "float32 y": [3, 3], "add_0": [-2, -2], "程": [2, 2]
    }  # fmt: skip


def test_a_loop_collects_and_a_branch_chooses(tmp_path: Path) -> None:
    model = parse("""
        g (float[2] x, bool c) => (float[2] last, float[3, 2] all, float[2] chosen)
        <int64 n = {3}, bool go = {1}> {
            last, all = Loop (n, go, x) <
                body = b (int64 i, bool keep, float[2] old)
                    => (bool more, float[2] new, float[2] out) {
                    more = Identity(keep)
                    new = Add(old, x)
                    out = Mul(new, new)
                }
            >
            chosen = If (c) <
                then_branch = t () => (float[2] p) { p = Neg(x) },
                else_branch = e () => (float[2] q) { q = Identity(x) }
            >
        }""")
    x = np.array([1, 2], np.float32)

    outputs = run(model, tmp_path, {"x": x, "c": np.array(True)})

    assert outputs["last"].tolist() == [4, 8]
    assert outputs["all"].tolist() == [[4, 16], [9, 36], [16, 64]]
    assert outputs["chosen"].tolist() == [-1, -2]


def test_sequences_inside_a_model_are_taken_apart(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        """<ir_version: 10, opset_import: ["" : 21]>
        g (float[2] x, float[3] z) => (float[5] y, float[3] k, int64 n) {
            q = SequenceConstruct (x, z)
            last = Constant <value_int = -1> ()
            y = ConcatFromSequence <axis = 0> (q)
            k = SequenceAt (q, last)
            n = SequenceLength (q)
        }""",
    )
    assert irconv.compile(path, ["coreml"], tmp_path / "out").exit_code == ExitCode.OK
    x, z = np.array([1, 2], np.float32), np.array([3, 4, 5], np.float32)

    outputs = irconv.run(tmp_path / "out" / "coreml", {"x": x, "z": z})

    values = {name: np.asarray(value).tolist() for name, value in outputs.items()}
    assert values == {"y": [1, 2, 3, 4, 5], "k": [3, 4, 5], "n": 2}


REFUSED = {
    "UNSUPPORTED_OP": "g (float[2] x) => (float[N] y) { y = Unique(x) }",
    "UNSUPPORTED_DTYPE": "g (string[2] x) => (string[2] y) { y = StringConcat(x, x) }",
    "RANK_LIMIT": "g (float[1,1,1,1,1,2] x) => (float[1,1,1,1,1,2] y) { y = Relu(x) }",
    "EMPTY_TENSOR": "g (float[2, 0] x) => (float[2, 0] y) { y = Relu(x) }",
    "NOT_CONSTANT": "g (float[2, 3] x, int64[K] a) => (float[M, N] y) { y = ReduceSum(x, a) }",
    "VALUE_RANGE": "g (int64[1] x) => (int64[1] y) <int64[1] k = {5000000000}> { y = Add(x, k) }",
    "UNKNOWN_TYPE": "g (float[2] x) => (float[2] y) { z = Relu(x) y = Relu(z) }",
    "NO_INPUTS": "g () => (float[1] y) <float[1] x = {1}> { y = Relu(x) }",
}


@pytest.mark.parametrize(("code", "body"), REFUSED.items(), ids=REFUSED.keys())
def test_refusals_have_a_code_a_reason_and_a_way_out(code: str, body: str) -> None:
    found = CoremlBackend().check(parse(body), {})
    assert code in {diagnostic.code for diagnostic in found}
    assert all(diagnostic.reason and diagnostic.way_out for diagnostic in found)


def test_the_command_lists_every_operator_that_is_lacking(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x, float[4] z) => (float[M] a, float[N] b, float[4] y) {
            a = Unique (x)
            b = Unique (z)
            y = Relu (x)
        }""",
    )
    result = irconv.compile(path, ["coreml"], tmp_path / "out")
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    assert [diagnostic.op for diagnostic in error.diagnostics] == ["Unique", "Unique"]
    assert not (tmp_path / "out").exists()


def test_shape_sets_need_ranges_and_name_what_has_none() -> None:
    model = parse("g (float[N, M] x) => (float[N, M] y) { y = Relu(x) }")
    (found,) = CoremlBackend(shapes="enumerated").check(model, {"N": DimRange(1, 2, 3)})
    assert found.code == "DYNAMIC_SHAPE"
    assert "--shape M=" in found.way_out


@pytest.mark.parametrize(
    "spec",
    [
        "coreml{weights=int4}",
        "coreml{weights=int8,target=iOS15}",
        "coreml{shapes=functions}",
        "coreml{bias=[1,2]}",
    ],
)
def test_options_that_do_not_go_together(spec: str) -> None:
    with pytest.raises(UsageError):
        load_registry().build_backend(spec)


@pytest.mark.parametrize(
    ("options", "name"), [({"image": ("z",)}, "NO_SUCH_INPUT"), ({"image": ("x",)}, "NOT_AN_IMAGE")]
)
def test_images_must_be_inputs_of_that_form(options: dict[str, tuple[str]], name: str) -> None:
    model = parse("g (float[2, 4] x) => (float[2, 4] y) { y = Relu(x) }")
    (found,) = CoremlBackend(**options).check(model, {})
    assert found.code == name


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, irconv_coreml.plugin\n"
        "heavy = {'coremltools', 'numpy', 'onnx', 'onnx_ir'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coreml", "coreml{precision=f16}", "coreml{target=iOS18}"])
def test_it_keeps_every_promise(target: str) -> None:
    assert_backend_conforms(target)
