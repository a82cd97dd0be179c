from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from irconv.errors import BackendError, InputError
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import save_model
from irconv.graph.spill import Spill
from irconv.optimize import OptimizeResult, optimize_model
from irconv.passes.base import Pass, PassContext, PassResult
from irconv.passes.eliminate_identity import EliminateIdentity
from irconv.passes.fold_constants import FoldConstants


@dataclass(frozen=True)
class Faulty(Pass):
    """Claims a change that it did not make."""

    name: ClassVar[str] = "faulty"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(modified=True)


def _run(path: Path) -> Any:
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    return onnxruntime.InferenceSession(str(path)).run(None, {"image": image})


def _optimize(source: Path, output: Path) -> OptimizeResult:
    return optimize_model(source, output, [EliminateIdentity()])


def test_a_model_is_optimized_and_reported(small_net: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "net.onnx"
    result = _optimize(small_net, output)
    assert result.files == (output,)
    assert (result.nodes_before, result.nodes_after) == (8, 7)
    assert result.bytes_after == output.stat().st_size
    assert [record.name for record in result.records] == ["eliminate-identity"]
    assert json.loads(json.dumps(result.to_json()))["nodes_after"] == 7
    for was, now in zip(_run(small_net), _run(output), strict=True):
        np.testing.assert_allclose(was, now, rtol=1e-5)
    assert sorted(path.name for path in output.parent.iterdir()) == ["net.onnx"]


def test_weights_stay_outside_if_they_were(small_net: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.onnx"
    save_model(load_model(small_net).model, split, inline_limit=0)
    result = _optimize(split, tmp_path / "out.onnx")
    assert [path.name for path in result.files] == ["out.onnx.data", "out.onnx"]
    assert result.bytes_before == sum(
        path.stat().st_size for path in (split, tmp_path / "split.onnx.data")
    )
    np.testing.assert_allclose(_run(small_net)[0], _run(tmp_path / "out.onnx")[0], rtol=1e-5)


@pytest.mark.parametrize("inline_limit", [0, 1 << 30])
def test_a_model_may_be_optimized_in_place(
    small_net: Path, tmp_path: Path, inline_limit: int
) -> None:
    path = tmp_path / "net.onnx"
    expected = _run(small_net)
    save_model(load_model(small_net).model, path, inline_limit=inline_limit)
    _optimize(path, path)
    assert len(onnx.load(path).graph.node) == 7
    np.testing.assert_allclose(_run(path)[0], expected[0], rtol=1e-5)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_nothing_is_written_when_it_fails(small_net: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(small_net.read_bytes()[:-100])
    with pytest.raises(InputError):
        _optimize(broken, tmp_path / "deep" / "out.onnx")
    with pytest.raises(BackendError, match="faulty"):
        optimize_model(small_net, tmp_path / "deep" / "out.onnx", [Faulty()], strict=True)
    with pytest.raises(InputError, match="cannot write"):
        _optimize(small_net, small_net / "out.onnx")
    with pytest.raises(InputError, match="is a directory"):
        _optimize(small_net, small_net.parent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.onnx", "source"]
    assert sorted(path.name for path in small_net.parent.iterdir()) == ["net.onnx"]


def test_a_pass_that_fails_is_left_out(small_net: Path, tmp_path: Path) -> None:
    result = optimize_model(small_net, tmp_path / "out.onnx", [Faulty(), EliminateIdentity()])
    assert "changed nothing" in result.records[0].error
    assert result.nodes_after == 7


def test_a_full_disk_leaves_nothing(small_net: Path, tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from irconv.errors import InputError
from irconv.optimize import optimize_model
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    optimize_model(Path(sys.argv[1]), Path(sys.argv[2]), [])
except InputError as error:
    print(error)
"""
    folder = tmp_path / "out"
    for source in (small_net, _split(small_net, tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", script, str(source), str(folder / "net.onnx")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "not enough space" in done.stdout
        assert not folder.exists()


def _split(small_net: Path, folder: Path) -> Path:
    path = folder / "split" / "net.onnx"
    path.parent.mkdir()
    save_model(load_model(small_net).model, path, inline_limit=0)
    return path


def _tall_constants(path: Path, rows: int) -> None:
    """Write a model whose constants are folded into ``rows`` rows of 256 KiB each."""
    text = '<ir_version: 9, opset_import: ["": 18]> g (float[N, 65536] x) => (float[N, 65536] y) '
    body = "".join(
        f"s{i} = Constant <value_ints = [65536]> () "
        f"c{i} = ConstantOfShape <value = float[1] {{{i + 1}.0}}> (s{i}) "
        f"a{i} = Add({f'a{i - 1}' if i else 'x'}, c{i}) "
        for i in range(rows)
    )
    onnx.save(onnx.parser.parse_model(text + "{" + body + f"y = Identity(a{rows - 1})" + "}"), path)


def test_constants_past_the_budget_are_on_disk(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    _tall_constants(source, 12)
    held: list[ir.TensorProtocol] = []

    class Watch:
        def before(self, pass_: Pass, model: ir.Model) -> None: ...

        def after(self, pass_: Pass, model: ir.Model, record: object) -> None:
            held.extend(model.graph.initializers.tensors())

    optimize_model(
        source, tmp_path / "out.onnx", [FoldConstants()], observers=[Watch()], max_ram=4 << 30
    )
    assert not any(isinstance(tensor, ir.ExternalTensor) for tensor in held)

    held.clear()
    spill = Spill(tmp_path, budget=1 << 20)
    model = load_model(source).model
    FoldConstants().run(model, PassContext(spill=spill))
    tensors = list(model.graph.initializers.tensors())
    assert sum(isinstance(tensor, ir.ExternalTensor) for tensor in tensors) == 8
    assert [float(tensor.numpy().flat[0]) for tensor in tensors] == [i + 1 for i in range(12)]
    save_model(model, tmp_path / "spilled.onnx")
    x = np.zeros((1, 65536), np.float32)
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "spilled.onnx")).run(None, {"x": x})
    assert np.array_equal(found, np.full_like(x, 78))


_UNDER_A_LIMIT = """
import sys
from irconv.cli.main import run
sys.exit(run(["optimize", sys.argv[1], "-o", sys.argv[2], "--max-ram", sys.argv[3]]))
"""


@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [("1GiB", 0, ""), ("8MiB", 2, "less than irconv itself takes"), ("160MiB", 5, "needs more")],
)
def test_max_ram_holds(tmp_path: Path, limit: str, code: int, message: str) -> None:
    source, output = tmp_path / "model.onnx", tmp_path / "out.onnx"
    weight = np.zeros((1 << 12, 1 << 13), np.float32)
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["N", 1 << 13]))
    w = ir.Value(name="w", const_value=ir.Tensor(weight, name="w"))
    turned = ir.Node("", "Transpose", [w], [ir.AttrInt64s("perm", [1, 0])])
    product = ir.Node("", "MatMul", [x, turned.outputs[0]])
    turned.outputs[0].name, product.outputs[0].name = "t", "y"
    product.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x], product.outputs, nodes=[turned, product], initializers=[w], name="g",
        opset_imports={"": 18},
    )  # fmt: skip
    save_model(ir.Model(graph, ir_version=9), source)

    done = subprocess.run(
        [sys.executable, "-c", _UNDER_A_LIMIT, source, output, limit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert output.exists() == (code == 0)
    assert "Traceback" not in done.stderr
