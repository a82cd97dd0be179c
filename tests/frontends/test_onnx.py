from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from irconv.errors import InputError
from irconv.frontends.base import ImportRequest
from irconv.frontends.onnx import OnnxFrontend
from irconv.graph.reading.load import load_model
from irconv.graph.serialize import save_model
from irconv.worker import WorkerLimits


def _request(folder: Path) -> ImportRequest:
    folder.mkdir(exist_ok=True)
    return ImportRequest(folder, WorkerLimits(seconds=60))


def _image() -> dict[str, Any]:
    return {"image": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}


def test_models_are_recognized_by_suffix_or_content(small_net: Path, tmp_path: Path) -> None:
    frontend = OnnxFrontend()
    assert frontend.recognizes(str(small_net))
    assert frontend.recognizes("not-there.onnx")
    nameless = tmp_path / "model"
    nameless.write_bytes(small_net.read_bytes())
    assert frontend.recognizes(str(nameless))
    for name, content in (("zip", b"PK\x03\x04aaaa"), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        assert not frontend.recognizes(str(tmp_path / name))
    os.mkfifo(tmp_path / "pipe")
    assert not frontend.recognizes(str(tmp_path / "pipe"))
    assert not frontend.recognizes(str(tmp_path))
    assert not frontend.recognizes("package.module:factory")


def test_inspect_gives_facts_as_json(small_net: Path) -> None:
    facts = OnnxFrontend().inspect(str(small_net))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["opsets"] == {"": 17}
    assert facts["ir_version"] == 8
    assert facts["nodes"] == 8
    assert facts["operators"]["Conv"] == 1
    assert facts["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["N", 3, 8, 8]}]
    assert [output["name"] for output in facts["outputs"]] == ["logits", "label"]
    weights = [onnx.numpy_helper.to_array(w) for w in onnx.load(small_net).graph.initializer]
    assert facts["parameters"] == sum(weight.size for weight in weights)
    assert facts["parameter_bytes"] == sum(weight.nbytes for weight in weights)


def test_the_reference_is_the_source_whatever_becomes_of_the_model(
    small_net: Path, tmp_path: Path
) -> None:
    expected = onnxruntime.InferenceSession(str(small_net)).run(None, _image())
    imported = OnnxFrontend().load(str(small_net), _request(tmp_path / "scratch"))
    assert imported.source.frontend == "onnx"
    assert imported.source.opset == 17
    assert imported.source.bytes == small_net.stat().st_size
    for node in reversed(list(imported.model.graph)):
        imported.model.graph.remove(node)
    with imported.open_reference() as runner:
        outputs = runner.run(_image())
    assert list(outputs) == ["logits", "label"]
    np.testing.assert_allclose(outputs["logits"], expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs["label"], expected[1])


def test_external_data_reaches_the_reference(small_net: Path, tmp_path: Path) -> None:
    expected = onnxruntime.InferenceSession(str(small_net)).run(None, _image())
    split = tmp_path / "split" / "net.onnx"
    split.parent.mkdir()
    assert len(save_model(load_model(small_net).model, split, inline_limit=0)) == 2
    imported = OnnxFrontend().load(str(split), _request(tmp_path / "scratch"))
    assert imported.source.bytes == sum(path.stat().st_size for path in split.parent.iterdir())
    with imported.open_reference() as runner:
        outputs = runner.run(_image())
    np.testing.assert_allclose(outputs["logits"], expected[0], rtol=1e-4, atol=1e-5)


def test_bad_input_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        OnnxFrontend().load(str(tmp_path / "gone.onnx"), _request(tmp_path / "scratch"))
    with pytest.raises(InputError, match="does not exist"):
        OnnxFrontend().inspect(str(tmp_path / "gone.onnx"))
