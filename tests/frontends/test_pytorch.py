"""The PyTorch frontend: exported programs and factories, and PyTorch's outputs as reference."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from irconv.errors import InputError, MissingError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.pytorch import PytorchFrontend
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.runtime.base import Feeds
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_input, parse_shapes
from irconv.worker import WorkerLimits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
TOLERANCE = 1e-5


class Imports:
    """Imports sources and closes them at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Imported] = []

    def __call__(
        self, source: str, *texts: str, trust: bool = False, frontend: PytorchFrontend | None = None
    ) -> Imported:
        directory = self.folder / f"scratch{len(list(self.folder.iterdir()))}"
        directory.mkdir()
        request = ImportRequest(
            directory=directory,
            limits=WorkerLimits(seconds=240),
            trust=trust,
            inputs=[parse_input(text) for text in texts if "[" in text],
            shapes=parse_shapes([text for text in texts if "[" not in text]),
        )
        imported = (frontend or PytorchFrontend()).load(source, request)
        self.opened.append(imported)
        return imported


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Imports]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    imports = Imports(tmp_path)
    yield imports
    for imported in imports.opened:
        imported.close()


def assert_reference(imported: Imported, path: Path, samples: list[Feeds]) -> None:
    """PyTorch's outputs and those of ONNX Runtime have the same names, order and values."""
    save_model(imported.model, path)
    with imported.open_reference() as reference, OnnxRuntimeRunner(path) as runner:
        for sample in samples:
            wanted, found = reference.run(sample), runner.run(sample)
            assert list(wanted) == list(found)
            for name, value in wanted.items():
                assert np.asarray(value).dtype == np.asarray(found[name]).dtype
                np.testing.assert_allclose(found[name], value, rtol=TOLERANCE, atol=TOLERANCE)


def words(batch: int, length: int) -> Feeds:
    random = np.random.default_rng(batch * 100 + length)
    return {
        "ids": random.integers(0, 20, (batch, length)),
        "mask": random.random((batch, length), dtype=np.float32),
    }


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def test_a_program_keeps_names_and_dimensions(
    load: Imports, exported_programs: Path, tmp_path: Path
) -> None:
    imported = load(str(exported_programs / "plus.pt2"), "x[batch,4]")
    assert [str(spec) for spec in input_specs(imported.model)] == ["x: float32[batch,4]"]
    assert [str(spec) for spec in output_specs(imported.model)] == ["output: float32[batch,3]"]
    assert imported.source.opset == 20
    assert len(imported.source.sha256) == 64
    assert "the dimension batch goes from 1 to 8" in imported.source.notes
    assert [dict(feeds)["x"].shape for feeds in imported.example_feeds] == [(3, 4)]
    random = np.random.default_rng(1)
    sizes = (1, 2, 8)
    samples = [{"x": random.random((size, 4), dtype=np.float32)} for size in sizes]
    assert_reference(imported, tmp_path / "m.onnx", [*imported.example_feeds, *samples])
    proto = (tmp_path / "m.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in proto


@pytest.mark.slow
def test_a_program_with_a_tree_of_outputs(
    load: Imports, exported_programs: Path, tmp_path: Path
) -> None:
    imported = load(str(exported_programs / "words.pt2"), "ids[batch,?]", "batch=1..4")
    assert [str(spec) for spec in input_specs(imported.model)] == [
        "ids: int64[batch,ids_dim_1]",
        "mask: float32[batch,ids_dim_1]",
    ]
    assert [spec.name for spec in output_specs(imported.model)] == [
        "logits", "parts_0", "parts_1", "ids_out",
    ]  # fmt: skip
    samples = [*imported.example_feeds, words(1, 2), words(8, 16), words(5, 3)]
    assert_reference(imported, tmp_path / "m.onnx", samples)


@pytest.mark.slow
def test_a_factory_in_training_mode_with_random_weights(load: Imports, tmp_path: Path) -> None:
    imported = load("pytorch_models:cnn", "x[batch,3,8,8]", "batch=1..4@2", trust=True)
    assert [str(spec) for spec in input_specs(imported.model)] == ["x: float32[batch,3,8,8]"]
    assert any("training mode" in note for note in imported.source.notes)
    assert imported.source.sha256 == ""
    assert imported.example_feeds == []
    random = np.random.default_rng(3)
    shape = (3, 8, 8)
    samples = [{"x": random.random((size, *shape), dtype=np.float32)} for size in (1, 2, 4)]
    assert_reference(imported, tmp_path / "m.onnx", [*samples, samples[0]])


@pytest.mark.slow
def test_a_factory_with_keyword_inputs_of_size_one(load: Imports, tmp_path: Path) -> None:
    imported = load("pytorch_models:words", "ids[batch,length]", "mask[batch,length]", trust=True)
    assert [str(spec) for spec in input_specs(imported.model)] == [
        "ids: int64[batch,length]",
        "mask: float32[batch,length]",
    ]
    assert [dict(feeds)["ids"].shape for feeds in imported.example_feeds] == [(1, 6)]
    samples = [*imported.example_feeds, words(3, 5), words(7, 2)]
    assert_reference(imported, tmp_path / "m.onnx", samples)


@pytest.mark.slow
def test_the_same_tensor_twice_and_the_input_itself(load: Imports, tmp_path: Path) -> None:
    imported = load("pytorch_models:twice", trust=True)
    names = ["output_0", "output_1", "output_2"]
    assert [spec.name for spec in output_specs(imported.model)] == names
    assert_reference(imported, tmp_path / "m.onnx", list(imported.example_feeds))


@pytest.mark.slow
def test_outputs_that_are_none_and_names_that_collide(load: Imports, tmp_path: Path) -> None:
    imported = load("pytorch_models:mixed", trust=True)
    assert [spec.name for spec in input_specs(imported.model)] == ["input"]
    names = [spec.name for spec in output_specs(imported.model)]
    assert names == ["input_out", "more_words_0"]
    assert "outputs that are None were left out" in imported.source.notes
    assert_reference(imported, tmp_path / "m.onnx", list(imported.example_feeds))


@pytest.mark.slow
def test_a_buffer_that_a_call_changes_is_set_back(load: Imports) -> None:
    imported = load("pytorch_models:counting", trust=True)
    assert any("changes the buffers calls" in note for note in imported.source.notes)
    x = {"x": np.zeros(2, np.float32)}
    with imported.open_reference() as reference:
        first, second = reference.run(x), reference.run(x)
    assert list(np.asarray(first["output"])) == list(np.asarray(second["output"])) == [1, 1]


@pytest.mark.slow
def test_another_opset_and_no_look_inside(
    load: Imports, exported_programs: Path, tmp_path: Path
) -> None:
    frontend = PytorchFrontend(opset=18)
    imported = load(str(exported_programs / "plus.pt2"), frontend=frontend, trust=True)
    assert imported.source.opset == imported.model.opset_imports[""] == 18
    assert imported.source.frontend == "pytorch{opset=18}"
    assert any("--trust" in note for note in imported.source.notes)
    assert_reference(imported, tmp_path / "m.onnx", list(imported.example_feeds))


@pytest.mark.slow
def test_a_program_exported_in_training_mode(load: Imports, exported_programs: Path) -> None:
    with pytest.raises(InputError, match="training mode") as caught:
        load(str(exported_programs / "training.pt2"))
    assert "dropout" in caught.value.what
    assert "eval()" in caught.value.hint


@pytest.mark.slow
def test_a_range_beyond_that_of_the_program(load: Imports, exported_programs: Path) -> None:
    before = children()
    with pytest.raises(InputError, match=r"goes from 1 to 8, not 1\.\.9@9"):
        load(str(exported_programs / "plus.pt2"), "x_dim_0=1..9")
    assert children() == before


@pytest.mark.slow
def test_examples_outside_of_the_wanted_range_and_the_end_of_the_worker(
    load: Imports, exported_programs: Path
) -> None:
    before = children()
    imported = load(str(exported_programs / "plus.pt2"), "x[batch,4]", "batch=1..2")
    assert imported.example_feeds == []
    assert any("batch=3" in note for note in imported.source.notes)
    (worker,) = children() - before
    imported.close()
    imported.close()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(worker)


def test_a_factory_needs_trust(load: Imports) -> None:
    with pytest.raises(InputError, match="would run") as caught:
        load("pytorch_models:cnn")
    assert "--trust" in caught.value.hint
    assert "pytorch_models" not in sys.modules


def test_a_file_that_is_not_there(load: Imports, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(str(tmp_path / "absent.pt2"))


def test_pytorch_that_is_not_installed(
    load: Imports, exported_programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "torch" else find(name, *rest),
    )
    assert not PytorchFrontend().available().ok
    for source, trust in ((str(exported_programs / "plus.pt2"), False), ("a:b", True)):
        with pytest.raises(MissingError) as caught:
            load(source, trust=trust)
        assert "pip install 'irconv[pytorch]'" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ("a/model.pt2", True),
        ("MODEL.PT2", True),
        ("package.module:make", True),
        ("package.module:Class.make", True),
        ("model.onnx", False),
        ("C:/model", False),
        ("a b:c", False),
        ("module:", False),
    ],
)
def test_what_is_recognized(source: str, known: bool) -> None:
    assert PytorchFrontend().recognizes(source) is known


@pytest.mark.parametrize("opset", [17, 24])
def test_an_opset_out_of_range(opset: int) -> None:
    with pytest.raises(ValueError, match="from 18 to 23"):
        PytorchFrontend(opset=opset)
