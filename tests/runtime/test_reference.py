"""The reference runtime in its worker, and ONNX Runtime in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import BackendError, UnsupportedError
from irconv.graph.serialize import save_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.reference import ReferenceRuntime, open_reference


def parse(header: str, body: str) -> ir.Model:
    return ir.from_onnx_text(f'< ir_version: 10, opset_import: ["" : 20] > g {header} {{ {body} }}')


def run(tmp_path: Path, header: str, body: str, **feeds):
    save_model(parse(header, body), tmp_path / "m.onnx")
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        return runner.run(feeds)


def test_bfloat16_and_float8(tmp_path):
    x = np.array([1.0, 2.5, -3.0]).astype(ml_dtypes.bfloat16)
    found = run(
        tmp_path,
        "(bfloat16[3] x) => (bfloat16[3] y, float8e4m3fn[3] z)",
        "y = Identity (x) f = Cast <to = 1> (x) z = Cast <to = 17> (f)",
        x=x,
    )
    assert found["y"].dtype == ml_dtypes.bfloat16
    assert found["y"].tobytes() == x.tobytes()
    assert found["z"].dtype == ml_dtypes.float8_e4m3fn
    assert found["z"].astype(np.float32).tolist() == [1.0, 2.5, -3.0]


def test_strings_sequences_and_optionals(tmp_path):
    words = np.array([["a", "ä"]], object)
    found = run(tmp_path, "(string[1, 2] x) => (string[2, 1] y)", "y = Transpose (x)", x=words)
    assert found["y"].tolist() == [["a"], ["ä"]]
    (tmp_path / "m.onnx").unlink()
    found = run(
        tmp_path,
        "(seq(float[N]) x, float[2] t) => (seq(float[N]) y, int64 n)",
        "y = SequenceInsert (x, t) n = SequenceLength (y)",
        x=[np.zeros(2, np.float32)],
        t=np.ones(2, np.float32),
    )
    assert [item.tolist() for item in found["y"]] == [[0, 0], [1, 1]]
    assert found["n"] == 2
    (tmp_path / "m.onnx").unlink()
    header = "(optional(float[2]) x) => (bool y)"
    assert not run(tmp_path, header, "y = OptionalHasElement (x)", x=None)["y"]


def test_the_worker_gives_what_the_process_gives(tmp_path):
    header, body = "(float[N, 2] x) => (float[N, 2] y)", "a = Exp (x) y = Tanh (a)"
    samples = [{"x": np.full((n, 2), 0.5, np.float32)} for n in (1, 3)]
    with open_reference(parse(header, body)) as runner:
        outputs = runner.run_all(samples)
        assert runner.describe()["runtime"] == "onnxruntime"
        assert runner.level == "artifact"
        with pytest.raises(BackendError):
            runner.run({"x": np.zeros((1, 3), np.float32)})
        np.testing.assert_array_equal(runner.run(samples[1])["y"], outputs[1]["y"])
        assert len(runner.time(samples[0], runs=3, warmup=1)) == 3
    save_model(parse(header, body), tmp_path / "m.onnx")
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as local:
        for sample, output in zip(samples, outputs, strict=True):
            np.testing.assert_array_equal(local.run(sample)["y"], output["y"])


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def peak_of_product(size: int) -> int:
    """Return the worker's peak after a product with a weight of ``4 * size**2`` bytes."""
    model = parse(f"(float[1, {size}] x, float[{size}, {size}] w) => (float y)", PRODUCT)
    weight = model.graph.inputs.pop()
    weight.const_value = ir.tensor(np.eye(size, dtype=np.float32), name="w")
    model.graph.initializers.add(weight)
    with ReferenceRuntime() as reference, reference.open(model) as runner:
        assert runner.run({"x": np.ones((1, size), np.float32)})["y"] == size
        return reference.peak_rss_bytes


PRODUCT = "p = MatMul (x, w) y = ReduceSum <keepdims = 0> (p)"


def test_weights_are_mapped_and_not_copied() -> None:
    added = peak_of_product(6000) - peak_of_product(6)
    assert 0.9 * 4 * 6000**2 < added < 1.3 * 4 * 6000**2


def test_files_are_removed_on_close_and_on_failure(scratch):
    runner = open_reference(parse("(float[2] x) => (float[2] y)", "y = Exp (x)"))
    assert list(scratch.iterdir())
    runner.close()
    assert not list(scratch.iterdir())
    with pytest.raises((BackendError, UnsupportedError)):
        open_reference(parse("(float[2] x) => (float[2] y)", "y = NoSuchOperator (x)"))
    assert not list(scratch.iterdir())
