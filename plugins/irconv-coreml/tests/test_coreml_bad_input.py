"""Bad input at the public border: one clear error each, its exit code, and no output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import irconv
from irconv.errors import ExitCode, InputError

FLOAT = onnx.TensorProto.FLOAT


def save(folder: Path, body: str) -> Path:
    path = folder / "model.onnx"
    text = f'<ir_version: 8, opset_import: ["" : 17]> g {body}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def compile_(irconv_cli: Callable[..., Any], path: Path, *options: str) -> tuple[int, str, Any]:
    """Return exit code, what people read, and the JSON document of a compilation."""
    out = path.parent / "out"
    arguments = ["compile", path, "--target", "coreml", "-o", out, *options]
    spoken = irconv_cli(*arguments)
    assert "Traceback" not in spoken.err
    assert not list(out.glob("*")) or spoken.code == ExitCode.OK
    read = irconv_cli(*arguments, "--json")
    assert read.code == spoken.code
    return spoken.code, spoken.err, json.loads(read.out)


REFUSED = {
    "operators": (
        """(float[4] x, float[4] z) => (float[M] a, float[N] b, float[4] y) {
            [first] a = Unique (x) [second] b = Unique (z) y = Relu (x) }""",
        ["UNSUPPORTED_OP", "UNSUPPORTED_OP"],
        ["Unique 'first'", "Unique 'second'", "MIL has no operator for it"],
    ),
    "dtypes": (
        "(float[2] x) => (float[2] y) { a = Cast <to = 8> (x) y = Cast <to = 1> (a) }",
        ["UNSUPPORTED_DTYPE", "UNSUPPORTED_DTYPE"],
        ["no string", "float32, float16 or int32"],
    ),
    "ranks": (
        """(float[1, 2, 1, 2, 1, 2] x) => (float[1, 2, 1, 2, 1, 2] y) {
            a = Relu (x) y = Transpose <perm = [5, 4, 3, 2, 1, 0]> (a) }""",
        ["RANK_LIMIT"] * 4,
        ["input 'x'", "output 'y'", "rank 6, and Core ML takes up to 5", "merge dimensions"],
    ),
    "dynamic sizes": (
        """(float[N, 3, H, W] x) => (float[N, 3, P, Q] y) {
            y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x) }""",
        ["DYNAMIC_SHAPE"],
        ["bind N, H, W", "--shape N=32 --shape H=32 --shape W=32"],
    ),
}


@pytest.mark.parametrize(("body", "codes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_core_ml_cannot_express_is_listed_at_once(
    body: str, codes: list[str], words: list[str], tmp_path: Path, irconv_cli: Callable[..., Any]
) -> None:
    code, text, document = compile_(irconv_cli, save(tmp_path, body))

    assert code == ExitCode.UNSUPPORTED
    assert all(word in text for word in words), text
    (target,) = document["targets"]
    assert [entry["code"] for entry in target["error"]["diagnostics"]] == codes


def test_the_shape_that_is_shown_binds_it(tmp_path: Path, irconv_cli: Callable[..., Any]) -> None:
    path = save(tmp_path, REFUSED["dynamic sizes"][0])
    shapes = ["--shape", "N=32", "--shape", "H=32", "--shape", "W=32"]

    assert compile_(irconv_cli, path, *shapes)[0] == ExitCode.OK


def test_a_dimension_without_a_name_is_named_by_its_position(
    tmp_path: Path, irconv_cli: Callable[..., Any]
) -> None:
    path = save(tmp_path, "(float[?, 4] x) => (float[M, 4] y) { y = Relu (x) }")
    arguments = ["compile", path, "--target", "coreml{shapes=enumerated}", "-o", tmp_path / "out"]

    refused = irconv_cli(*arguments)

    assert refused.code == ExitCode.UNSUPPORTED
    assert "--shape x[0]=1..8@4" in refused.err
    assert irconv_cli(*arguments, "--shape", "x[0]=1..8@4").code == ExitCode.OK


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("y = Relu (x) y = Neg (x)", "the name 'y' is assigned twice"),
        ("x = Relu (x) y = Neg (x)", "the name 'x' is assigned twice"),
    ],
)
def test_duplicate_names_are_a_damaged_file(
    nodes: str, words: str, tmp_path: Path, irconv_cli: Callable[..., Any]
) -> None:
    path = save(tmp_path, f"(float[2] x) => (float[2] y) {{ {nodes} }}")

    code, text, _ = compile_(irconv_cli, path)

    assert code == ExitCode.BAD_INPUT
    assert words in text


def test_illegal_names_are_kept_in_the_manifests_map(tmp_path: Path) -> None:
    """Names that Core ML does not take, and that would be one where they are made legal."""
    inputs, outputs = ["a b", "a:b", "1"], ["a_b", "int32", "程"]
    graph = helper.make_graph(
        [
            helper.make_node("Add", inputs[:2], ["t"]),
            helper.make_node("Sub", ["t", inputs[2]], [outputs[0]]),
            helper.make_node("Neg", [inputs[0]], [outputs[1]]),
            helper.make_node("Abs", [inputs[1]], [outputs[2]]),
        ],
        "g",
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in inputs],
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in outputs],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")

    result = irconv.compile(tmp_path / "m.onnx", ["coreml"], tmp_path / "out")

    assert result.exit_code == ExitCode.OK, result.targets[0].error
    manifest = json.loads((tmp_path / "out" / "coreml" / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["inputs"]] == inputs
    assert [entry["name"] for entry in manifest["outputs"]] == outputs
    data = manifest["artifact"]["data"]
    taken = {entry["name"]: entry["coreml"] for entry in (*data["inputs"], *data["outputs"])}
    assert list(taken) == [*inputs, *outputs]
    assert len(set(taken.values())) == len(taken)
    assert all(name.isascii() and name.isidentifier() for name in taken.values())
    feeds = {name: np.array([n, -n], np.float32) for n, name in enumerate(inputs, 1)}
    values = irconv.run(tmp_path / "out" / "coreml", feeds)
    assert {name: np.asarray(value).tolist() for name, value in values.items()} == {
        "a_b": [0, 0], "int32": [-1, 1], "程": [2, 2]
    }  # fmt: skip


def test_feeds_that_do_not_fit(tmp_path: Path) -> None:
    path = save(tmp_path, "(int64[1] x) => (int64[1] y) { y = Neg (x) }")
    assert irconv.compile(path, ["coreml"], tmp_path / "out").exit_code == ExitCode.OK

    for feed, words in [
        (np.array([2**31]), "beyond the range of int32"),
        (np.array([1, 2]), "shape"),
        (np.array([1.5], np.float32), "int64"),
    ]:
        with pytest.raises(InputError, match=words):
            irconv.run(tmp_path / "out" / "coreml", {"x": feed})
