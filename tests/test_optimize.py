from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from irconv.errors import BackendError, InputError
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import save_model
from irconv.optimize import OptimizeResult, optimize_model
from irconv.passes.base import Pass, PassContext, PassResult
from irconv.passes.eliminate_identity import EliminateIdentity


@dataclass(frozen=True)
class Faulty(Pass):
    """Claims a change that it did not make."""

    name: ClassVar[str] = "faulty"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(modified=True)


def _run(path: Path) -> list[np.ndarray]:
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
