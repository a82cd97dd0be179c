"""The TensorFlow frontend from source to bundle, and what it says of sources unopened."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.errors import InputError, MissingError, UsageError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.tensorflow import TensorflowFrontend
from irconv.graph.interface import input_specs, output_specs
from irconv.shapes import parse_input
from irconv.worker import WorkerLimits


class Imports:
    """Imports sources and closes them at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Imported] = []

    def __call__(self, source: Path | str, *texts: str, **options: Any) -> Imported:
        directory = self.folder / f"scratch{len(self.opened)}"
        directory.mkdir(exist_ok=True)
        request = ImportRequest(
            directory=directory,
            limits=WorkerLimits(seconds=240),
            inputs=[parse_input(text) for text in texts],
            **options,
        )
        imported = TensorflowFrontend().load(str(source), request)
        self.opened.append(imported)
        return imported


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Imports]:
    imports = Imports(tmp_path)
    yield imports
    for imported in imports.opened:
        imported.close()


@pytest.mark.slow
def test_a_saved_model_by_its_second_signature(load: Imports, tensorflow_models: Path) -> None:
    imported = load(tensorflow_models / "two" / "saved_model.pb", signature="b")
    assert [str(spec) for spec in input_specs(imported.model)] == ["n: int32[]"]
    assert "signature 'b' was read" in imported.source.notes
    assert imported.source.frontend == "tensorflow"
    assert imported.source.opset == 18
    files = [path for path in (tensorflow_models / "two").rglob("*") if path.is_file()]
    read = [path for path in files if path.name != "fingerprint.pb"]
    assert imported.source.bytes == sum(path.stat().st_size for path in read)
    with imported.open_reference() as reference:
        assert reference.describe()["runtime"] == "tensorflow"
        powers = [reference.run({"n": np.int32(n)})["power"] for n in (0, 1)]
    np.testing.assert_array_equal(abs(np.asarray(powers[0])), np.eye(4, dtype=np.float32))
    assert not np.array_equal(powers[0], powers[1])


@pytest.mark.slow
def test_a_saved_model_in_text_form(load: Imports, tensorflow_models: Path) -> None:
    imported = load(tensorflow_models / "text")
    assert [spec.name for spec in output_specs(imported.model)] == ["arg", "sum"]


@pytest.mark.slow
def test_a_frozen_graph_whose_ends_are_found(load: Imports, tensorflow_models: Path) -> None:
    imported = load(tensorflow_models / "convolution.pb")
    assert [str(spec) for spec in input_specs(imported.model)] == ["input/image: float32[1,8,8,3]"]
    names = [spec.name for spec in output_specs(imported.model)]
    assert names == ["relu", "probabilities"]
    assert "outputs found: 'relu', 'probabilities'" in imported.source.notes


@pytest.mark.slow
def test_a_keras_file_becomes_bundles(
    tensorflow_models: Path, tmp_path: Path, irconv_cli: Callable[..., Any]
) -> None:
    targets = ["--target", "onnx"]
    if importlib.util.find_spec("ai_edge_litert") is not None:
        targets += ["--target", "tflite"]
    done = irconv_cli(
        "compile", tensorflow_models / "cnn.keras", *targets, "--shape", "batch=2", "-o", tmp_path,
        "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    manifests = [target["manifest"] for target in done.json()["targets"]]
    assert len(manifests) == len(targets) // 2
    for manifest in manifests:
        assert manifest["verification"]["verdict"] == "pass"
        assert manifest["source"]["frontend"] == "tensorflow"
        assert [entry["name"] for entry in manifest["inputs"]] == ["image"]
        assert [entry["name"] for entry in manifest["outputs"]] == ["label", "mask"]


@pytest.mark.slow
def test_an_environment_of_its_own(
    tensorflow_models: Path,
    tmp_path: Path,
    irconv_cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorFlow is not here as far as this process can see, but it is there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "tensorflow" else find(name, *more),
    )
    arguments = ("compile", tensorflow_models / "sequential.keras", "-t", "onnx", "-o", tmp_path)
    done = irconv_cli(*arguments)
    assert done.code == 3
    assert "tensorflow is not installed" in done.err
    assert "--frontend-python" in done.err
    done = irconv_cli(*arguments, "--frontend-python", sys.executable)
    assert done.code == 0, done.err


@pytest.mark.slow
def test_a_factory_is_called_only_if_trusted_and_asked_for(
    tensorflow_models: Path,
    tmp_path: Path,
    irconv_cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    arguments = ("compile", "tensorflow_models:sequential", "-t", "onnx", "-o", tmp_path)
    asked = ("--frontend", "tensorflow")
    done = irconv_cli(*arguments, *asked)
    assert (done.code, "--trust" in done.err) == (2, True)
    done = irconv_cli(*arguments, *asked, "--trust")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("source", "options", "where"),
    [
        ("cnn.keras", {"signature": "s"}, "--signature"),
        ("cnn.keras", {"outputs": ("y",)}, "--output-name"),
        ("while.pb", {"signature": "s"}, "--signature"),
        ("signatures", {"outputs": ("y",)}, "--output-name"),
    ],
)
def test_what_a_form_would_ignore_is_refused(
    load: Imports, tensorflow_models: Path, source: str, options: dict[str, Any], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(tensorflow_models / source, **options)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("signature", "what"),
    [(None, "2 signatures and none is the default"), ("c", "has no signature 'c'")],
)
def test_a_signature_that_is_not_clear(
    load: Imports, tensorflow_models: Path, signature: str | None, what: str
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        load(tensorflow_models / "two", signature=signature)
    assert caught.value.where == "--signature"
    assert "'a', 'b'" in caught.value.hint


def test_without_tensorflow(
    load: Imports, tensorflow_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "irconv.frontends.tensorflow.frontend.importlib.util.find_spec", lambda _: None
    )
    with pytest.raises(MissingError) as caught:
        load(tensorflow_models / "signatures")
    assert "pip install 'irconv[tensorflow]'" in caught.value.hint
    assert TensorflowFrontend().inspect(str(tensorflow_models / "signatures"))["version"] == 2


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (
            "signatures",
            {
                "format": "SavedModel",
                "version": 2,
                "tags": ["serve"],
                "needs_trust": False,
                "dangers": [],
            },
        ),
        ("v1", {"format": "SavedModel", "version": 1, "needs_trust": False}),
        (
            "cnn.keras",
            {
                "format": "Keras archive",
                "model_class": "Functional",
                "inputs": [{"name": "image", "dtype": "float32", "shape": [None, 16, 16, 3]}],
                "outputs": ["label", "mask"],
                "layers": 17,
                "needs_trust": False,
            },
        ),
        (
            "cnn.h5",
            {
                "format": "Keras HDF5",
                "outputs": ["label", "mask"],
                "parameters": 1094,
                "needs_trust": False,
            },
        ),
        (
            "while.pb",
            {
                "format": "frozen graph",
                "inputs": [
                    {"name": "x", "dtype": "float32", "shape": [None, 3]},
                    {"name": "n", "dtype": "int32", "shape": []},
                ],
                "outputs": ["result"],
                "needs_trust": False,
            },
        ),
    ],
)
def test_inspect(source: str, facts: dict[str, Any], tensorflow_models: Path) -> None:
    found = TensorflowFrontend().inspect(str(tensorflow_models / source))
    assert {key: found[key] for key in facts} == facts
    assert found["bytes"] > 0
    assert "tf2onnx to opset 18" in found["route"]


def test_inspect_says_what_is_not_a_model(tensorflow_models: Path) -> None:
    found = TensorflowFrontend().inspect(str(tensorflow_models / "only.weights.h5"))
    assert found["route"] == "none: the file holds weights only, and no model"
    found = TensorflowFrontend().inspect("package.module:make")
    assert found["needs_trust"]


def test_inspect_by_the_command_line(
    tensorflow_models: Path, irconv_cli: Callable[..., Any]
) -> None:
    done = irconv_cli("inspect", tensorflow_models / "signatures")
    assert done.code == 0
    assert "name serving_default, inputs [name apple, dtype int64, shape [-]" in done.out
    assert irconv_cli("inspect", tensorflow_models / "signatures", "--json").json()["nodes"] > 0


def test_what_is_recognized(tensorflow_models: Path, tmp_path: Path) -> None:
    known = TensorflowFrontend().recognizes
    for name in ("cnn.keras", "cnn.h5", "while.pb", "signatures", "v1"):
        assert known(str(tensorflow_models / name))
    assert known("MODEL.KERAS")
    assert known(str(tensorflow_models / "signatures" / "saved_model.pb"))
    assert not known("package.module:make")
    assert not known(str(tmp_path))
    assert not known("model.onnx")
    shutil.copy(tensorflow_models / "while.pb", tmp_path / "saved_model.pb")
    assert known(str(tmp_path))


@pytest.mark.parametrize("opset", [12, 19])
def test_an_opset_out_of_range(opset: int) -> None:
    with pytest.raises(ValueError, match="from 13 to 18"):
        TensorflowFrontend(opset=opset)


def test_a_source_that_is_no_model(load: Imports, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "nothing")
    with pytest.raises(InputError, match="no form of TensorFlow model"):
        load(tmp_path)
