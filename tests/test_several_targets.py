"""Several targets in one command: each is done or refused for itself."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

import irconv
from irconv.cli.main import run
from irconv.errors import ExitCode
from irconv.plugins import load_registry
from irconv.runtime.values import save_samples

STRINGS = """
<ir_version: 9, opset_import: ["" : 20]>
g (string[2] a, string[2] b, float[2] x) => (string[2] y, string[2] z, float[2] w) {
    y = StringConcat (a, b)
    z = StringConcat (b, a)
    w = Relu (x)
}
"""
NO_STRINGS = sorted({"coreml", "openvino", "tflite", "torchscript", "trt"})


@pytest.fixture
def strings(tmp_path):
    path = tmp_path / "strings.onnx"
    onnx.save(onnx.parser.parse_model(STRINGS), path)
    return path


def installed():
    return [name for name in NO_STRINGS if name in load_registry().backends()]


def test_check_lists_every_node_of_every_target(strings):
    targets = ["onnx", *installed()]
    results = {result.target: result for result in irconv.check(strings, targets)}
    assert list(results) == targets
    assert results["onnx"].diagnostics == []
    for name in installed():
        assert results[name].diagnostics, name
        assert all(entry.code and entry.reason for entry in results[name].diagnostics)


def test_one_refusal_leaves_the_other_target_done(strings, tmp_path, capsys):
    refusing = installed()[0]
    words = np.array(["left", "right"], object)
    data = tmp_path / "data.npz"
    save_samples(data, [{"a": words, "b": words, "x": np.ones(2, np.float32)}])
    arguments = ["compile", str(strings), "--target", refusing, "--target", "onnx", "--json"]
    arguments += ["--data", str(data), "-o", str(tmp_path / "build")]
    assert run(arguments) == ExitCode.UNSUPPORTED
    document = json.loads(capsys.readouterr().out)
    assert [entry["exit_code"] for entry in document["targets"]] == [4, 0]
    assert (tmp_path / "build" / "onnx" / "manifest.json").is_file()
    assert not (tmp_path / "build" / refusing).exists()
