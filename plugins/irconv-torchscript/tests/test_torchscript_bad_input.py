"""What the targets of torch refuse, through the public interface: named at once, exit code 4."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import irconv
from irconv.cli.main import run
from irconv.errors import Diagnostic, ExitCode, UnsupportedError

_HEADER = '<ir_version: 9, opset_import: ["" : 18, "ai.onnx.ml" : 3]> '
_executorch = pytest.mark.skipif(
    importlib.util.find_spec("executorch") is None, reason="executorch is not installed"
)
TARGETS = [
    "torchscript",
    "torchscript{form=pt2}",
    pytest.param("executorch", marks=_executorch),
]


def save(folder: Path, body: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(_HEADER + body), path)
    return path


def refusals(folder: Path, body: str, target: str) -> list[Diagnostic]:
    """Compile without writing, which must end in exit code 4, and return every refusal."""
    result = irconv.compile(save(folder, body), [target], None)
    error = result.targets[0].error
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert isinstance(error, UnsupportedError)
    return list(error.diagnostics)


_COUNT = """TfIdfVectorizer<max_gram_length = 1, min_gram_length = 1, max_skip_count = 0,
    mode = "TF", ngram_counts = [0], ngram_indexes = [0, 1], pool_int64s = [2, 3]>"""


@pytest.mark.parametrize("target", TARGETS)
def test_every_node_is_named_with_what_helps(target: str, tmp_path: Path) -> None:
    body = f"""g (int64[5] t) => (float[2] a, float[2] b) {{
        [one] a = {_COUNT}(t)
        [two] b = {_COUNT}(t)
    }}"""
    found = [entry for entry in refusals(tmp_path, body, target) if entry.node]
    assert [(entry.node, entry.op) for entry in found if entry.code == "UNSUPPORTED_OP"] == [
        ("one", "TfIdfVectorizer"),
        ("two", "TfIdfVectorizer"),
    ]
    assert all("before the model" in entry.way_out for entry in found)


@pytest.mark.parametrize("target", TARGETS)
def test_a_dtype_that_it_lacks_is_named(target: str, tmp_path: Path) -> None:
    body = "g (string[2] x) => (string[2] y) { y = Identity(x) }"
    found = refusals(tmp_path, body, target)
    assert any("string" in entry.reason and "'x'" in entry.reason for entry in found)
    assert all(entry.way_out for entry in found)


@pytest.mark.parametrize("target", TARGETS)
def test_a_rank_over_the_limit_is_named(target: str, tmp_path: Path) -> None:
    body = """g (float[1, 1, 4, 4, 4, 4] x, float[1, 1, 2, 2, 2, 2] w)
        => (float[1, 1, 3, 3, 3, 3] y) { [wide] y = Conv(x, w) }"""
    found = refusals(tmp_path, body, target)
    assert [entry.node for entry in found] == ["wide"]
    assert "1 to 3 dimensions" in found[0].reason


@_executorch
@pytest.mark.parametrize(
    ("target", "most"), [("executorch", 6), ("executorch{delegate=portable}", 16)]
)
def test_executorch_loads_no_tensor_of_more_dimensions(
    target: str, most: int, tmp_path: Path
) -> None:
    dims = ",".join(["1"] * most)
    found = refusals(
        tmp_path, f"g (float[{dims},3] x) => (float[{dims},3] y) {{ y = Exp(x) }}", target
    )
    assert {entry.code for entry in found} == {"RANK_LIMIT"}
    assert all(f"at most {most}" in entry.reason for entry in found)
    assert all(("delegate=portable" in entry.way_out) == (most == 6) for entry in found)


_BRANCH = """g (float[batch, 4] x) => (float[batch, 4] y) <int64 four = {4}> {
    s = Shape<start = 0, end = 1>(x)
    n = Squeeze(s)
    c = Less(n, four)
    y = If(c) <
        then_branch = t () => (float[batch, 4] p) { p = Neg(x) },
        else_branch = e () => (float[batch, 4] q) { q = Exp(x) }
    >
}"""


def test_a_branch_on_a_size_goes_away_by_the_option_that_is_shown(tmp_path: Path) -> None:
    (found,) = refusals(tmp_path, _BRANCH, "torchscript{form=pt2}")
    assert "torchscript{form=pt}" in found.way_out
    assert "'batch' of input 'x'" in found.way_out
    (option,) = [text for text in found.way_out.split("'") if text.startswith("batch=")]
    path = save(tmp_path, _BRANCH)
    result = irconv.compile(path, ["torchscript{form=pt2}"], None, shapes=(option,))
    assert result.exit_code == ExitCode.OK


@_executorch
def test_a_dimension_without_a_name_is_shown_with_its_input(tmp_path: Path) -> None:
    body = "g (float[?, 4] x) => (float[?, 4] y) { y = Exp(x) }"
    (found,) = refusals(tmp_path, body, "executorch")
    assert found.code == "DYNAMIC_SHAPE"
    assert "--input 'x[d0,4]' --shape 'd0=1..64@8'" in found.way_out


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_line_ends_with_4_and_writes_nothing(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, f"g (int64[5] t) => (float[2] a) {{ [counted] a = {_COUNT}(t) }}")
    out = tmp_path / "out"
    code = run(["compile", str(path), "--target", target, "-o", str(out), "--json"])
    printed = capsys.readouterr()
    assert code == ExitCode.UNSUPPORTED
    assert "counted" in json.dumps(json.loads(printed.out))
    assert "Traceback" not in printed.err
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_names_that_are_no_identifiers_or_meet_are_mapped(target: str, tmp_path: Path) -> None:
    names = ("a.b", "a/b", "self", "1st class")
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Exp", [name], [f"out:{name}"]) for name in names],
        "g",
        [info(name, onnx.TensorProto.FLOAT, [2]) for name in names],
        [info(f"out:{name}", onnx.TensorProto.FLOAT, [2]) for name in names],
    )
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=9), path)
    result = irconv.compile(path, [target], tmp_path / "out")
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    feeds = {name: np.full(2, index, np.float32) for index, name in enumerate(names)}
    directory = result.targets[0].directory
    assert directory is not None
    outputs = irconv.run(directory, feeds)
    for name, value in feeds.items():
        np.testing.assert_allclose(outputs[f"out:{name}"], np.exp(value), rtol=1e-6)
    data = result.targets[0].manifest["artifact"]["data"]
    assert [entry["name"] for entry in data["inputs"]] == list(names)
    if target.startswith("torchscript"):
        arguments = [entry["argument"] for entry in data["inputs"]]
        assert len(set(arguments)) == len(names)
        assert all(argument.isidentifier() for argument in arguments)
