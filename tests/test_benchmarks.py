"""The model zoo can be generated and compiled, and what it published holds together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import irconv
from irconv.errors import InputError
from irconv.plugins import load_registry

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "reference" / "zoo.json"
FRONTENDS = ROOT / "docs" / "reference" / "frontends.json"
FORMS = {"pt2", "script", "saved-model", "keras", "h5", "frozen", "tflite", "tflite-int8"}
KNOWN = {("openvino", "fnet")}
"""OpenVINO computes FNet's Fourier transform over two axes otherwise: caught, never published."""


@pytest.mark.slow
def test_a_model_of_the_zoo_is_generated_and_compiled(tmp_path):
    done = subprocess.run(
        [
            sys.executable, ROOT / "benchmarks" / "zoo.py", "--only", "^tabular$", "--dynamic",
            "--target", "onnx", "--cache", tmp_path, "--jobs", "1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tabular-dynamic: onnx pass" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "tabular-dynamic.onnx",
        "tabular-dynamic.npz",
    }


def test_the_published_zoo():
    models = json.loads(RESULTS.read_text())["models"]
    assert len({model.rsplit("-", 1)[0] for model in models}) >= 40
    failures = {
        (target, model.rsplit("-", 1)[0])
        for model, record in models.items()
        for target, entry in record["targets"].items()
        if not re.match(r"pass$|refused: ", entry["status"])
    }
    assert failures <= KNOWN
    page = RESULTS.with_suffix(".md").read_text()
    assert all(f"| {model.rsplit('-', 1)[0]} | " in page for model in models)


def test_a_file_of_another_tool_is_matched_with_the_model(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from foreign_tflite import foreign_artifact

    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N, 3, 4, 5] image, float[2] factor) => (float[N, 2, 4, 5] y)
        <float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}, int64[4] target = {1, 2, 1, 1}> {
            f = Reshape (factor, target)  c = Conv (image, w)  y = Mul (c, f)
        }"""
    source = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), source)
    result = irconv.compile(source, ["tflite{layout=nhwc}"], tmp_path / "out", shapes=("N=2",))
    folder = result.targets[0].directory
    random = np.random.default_rng(0)
    feeds = {
        "factor": np.array([2, 3], np.float32),
        "image": random.standard_normal((2, 3, 4, 5)).astype(np.float32),
    }
    expected = irconv.run(folder, feeds)

    artifact = foreign_artifact(folder / "model.tflite", feeds, expected)

    assert {entry["name"] for entry in artifact.data["inputs"]} == set(feeds)
    backend = load_registry().build_backend("tflite")
    with backend.runner(folder, artifact) as runner:
        np.testing.assert_array_equal(runner.run(feeds)["y"], expected["y"])
    with pytest.raises(InputError, match="has a tensor 'image'"):
        foreign_artifact(folder / "model.tflite", {"factor": feeds["factor"]}, expected)


def test_the_published_frontends():
    sources = json.loads(FRONTENDS.read_text())["sources"]
    passed = [name for name, record in sources.items() if record["status"] == "pass"]
    assert len({record["model"] for record in sources.values()}) >= 40
    assert len(passed) >= 0.95 * len(sources)
    forms = {record["form"] for record in sources.values()}
    assert forms == FORMS
    page = FRONTENDS.with_suffix(".md").read_text()
    assert all(f"| {record['model']} | {record['form']} | " in page for record in sources.values())


@pytest.mark.slow
def test_optimizers_are_measured_and_a_wrong_result_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from optimizing.tables import faults, problem

    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable, ROOT / "benchmarks" / "optimizers.py", "--graph", "synthetic",
            "--tool", "irconv -O2", "--rounds", "1", "--cache", tmp_path, "--json", figures,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(figures.read_text())
    record = results["graphs"]["synthetic-5000"]
    entry = record["tools"]["irconv -O2"]
    assert record["nodes"] == 5000
    assert entry["nodes"] == sum(entry["ops"].values()) < 1500
    assert entry["peak"] > record["bytes"]
    assert not faults(results)
    for broken in ({"error": 1e-3}, {"error": float("nan")}, {"checker": "no"}, {"failed": "no"}):
        assert problem(record, entry | broken)
    record["tools"]["irconv -O2"] = entry | {"error": 0.5}
    assert len(faults(results)) == 1
