"""Files of weights: told apart and described without PyTorch, and given to a module's class."""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.errors import InputError
from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.pytorch import PytorchFrontend
from irconv.frontends.pytorch import frontend as frontend_module
from irconv.graph.serialize import save_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_input
from irconv.worker import WorkerLimits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
PLUS = "pytorch_models:Plus"


@pytest.fixture
def worker(shared_worker: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    service = shared_worker("irconv.frontends.pytorch.service:PytorchService")
    monkeypatch.setattr(frontend_module, "_start", lambda request: service)


def load(source: Path, folder: Path, trust: bool = True, **options: Any) -> Imported:
    directory = folder / "scratch"
    directory.mkdir()
    request = ImportRequest(
        directory, WorkerLimits(240), trust=trust, inputs=[parse_input("x[batch,4]")]
    )
    return PytorchFrontend(**options).load(str(source), request)


def values(source: Path, entry: str = "") -> np.ndarray:
    """What the module computes for ones, by NumPy from the weights in the file."""
    code = (
        "import sys, json, torch\n"
        "from safetensors.torch import load_file\n"
        "path, entry = sys.argv[1:]\n"
        "state = load_file(path) if path.endswith('s') else torch.load(path)\n"
        "state = state[entry] if entry else state\n"
        "print(json.dumps({name: tensor.float().tolist() for name, tensor in state.items()}))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(source), entry]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    state = {name: np.asarray(value) for name, value in json.loads(done.stdout).items()}
    product = state["linear.weight"].sum(1) + state["linear.bias"]
    return product + state["shift"] * np.asarray([1.0, 2.0, 3.0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("weights.pt", ""),
        ("weights.safetensors", ""),
        ("checkpoint.pth", "model"),
        ("half.pt", ""),
    ],
)
def test_weights_are_given_to_the_class(
    worker: None, exported_programs: Path, tmp_path: Path, name: str, entry: str
) -> None:
    source = exported_programs / name
    imported = load(source, tmp_path, module=PLUS, entry=entry)
    assert f"the weights were given to {PLUS}" in imported.source.notes
    converted = "weights of float16 were converted to float32" in imported.source.notes
    assert converted == (name == "half.pt")
    assert f"module={PLUS}" in imported.source.frontend
    assert imported.source.bytes == source.stat().st_size
    save_model(imported.model, tmp_path / "m.onnx")
    x = {"x": np.ones((2, 4), np.float32)}
    with imported.open_reference() as reference, OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        wanted, found = reference.run(x)["output"], runner.run(x)["output"]
    np.testing.assert_allclose(np.asarray(wanted)[0], values(source, entry), atol=1e-5)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not list((tmp_path / "scratch").glob("weights*"))


@pytest.mark.slow
def test_a_pickled_module_that_the_user_trusts(
    worker: None, exported_programs: Path, tmp_path: Path
) -> None:
    imported = load(exported_programs / "module.pt", tmp_path)
    assert any("pytorch_models.Plus" in note for note in imported.source.notes)
    with imported.open_reference() as reference:
        found = reference.run({"x": np.ones((2, 4), np.float32)})["output"]
    wanted = values(exported_programs / "weights.pt")
    np.testing.assert_allclose(np.asarray(found)[0], wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("pytorch_models:Cnn", ["'conv.weight' is missing", "linear.weight' is in the file"]),
        ("pytorch_models:Wide", ["size mismatch for linear.weight", "[5, 4]"]),
        ("pytorch_models:number", ["returned a int"]),
        ("pytorch_models:absent", ["has no 'absent'"]),
    ],
)
def test_weights_that_do_not_fit(
    worker: None, exported_programs: Path, tmp_path: Path, target: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        load(exported_programs / "weights.pt", tmp_path, module=target)
    assert all(word in caught.value.what for word in words)
    assert caught.value.hint
    assert len(caught.value.what.splitlines()) <= 12


@pytest.mark.parametrize(
    ("name", "options", "trust", "what", "hint"),
    [
        ("weights.pt", {}, True, "a state dict and no graph", "module=package.module:Class"),
        ("weights.safetensors", {}, True, "safetensors format and no graph", "--trust"),
        ("checkpoint.pth", {}, True, "a checkpoint and no graph", "entry=model"),
        ("weights.pt", {"module": PLUS}, False, f"{PLUS} is code", "--trust"),
        ("checkpoint.pth", {"module": PLUS}, True, "with the state dicts model", "entry=model"),
        ("checkpoint.pth", {"module": PLUS, "entry": "a"}, True, "without a state dict 'a'", "mod"),
        ("weights.pt", {"module": PLUS, "entry": "a"}, True, "without a state dict", "leave"),
        ("tensor.pt", {"module": PLUS}, True, "tensors that are no state dict", "state_dict()"),
        ("module.pt", {}, False, "imports pytorch_models.Plus", "--trust"),
        ("module.pt", {"module": PLUS}, True, "imports pytorch_models.Plus", "state_dict()"),
        ("old.pt", {}, True, "before PyTorch 1.6", "torch.save"),
        ("plus.pt2", {"module": PLUS}, True, "its own graph", "leave"),
    ],
)
def test_what_is_refused_before_pytorch_starts(
    exported_programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, str],
    trust: bool,
    what: str,
    hint: str,
) -> None:
    monkeypatch.setattr(frontend_module, "_start", lambda request: pytest.fail("it started"))
    with pytest.raises(InputError) as caught:
        load(exported_programs / name, tmp_path, trust=trust, **options)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_an_option_that_is_no_class() -> None:
    with pytest.raises(ValueError, match=r"package\.module:Class"):
        PytorchFrontend(module="weights.pt")


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_a_bare_pickle_is_no_file_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(InputError, match="no file that PyTorch writes"):
        load(path, tmp_path)


def header(change: dict[str, Any], size: int = 8) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change
    text = json.dumps({"__metadata__": {"format": "pt"}, "w": entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (header({"shape": [1 << 40]}), "which needs"),
        (header({"shape": [-2]}), "no whole number"),
        (header({"shape": [True]}), "no whole number"),
        (header({"data_offsets": [8, 16]}), "does not stand where"),
        (header({"data_offsets": [0, 1 << 40]}), "gives 'w'"),
        (header({"dtype": "F31"}), "another form"),
        (header({}, size=9), "but 9 are there"),
        (header({}, size=0), "but 0 are there"),
        ((1 << 60).to_bytes(8, "little") + b"{}", "no file that PyTorch writes"),
        ((50).to_bytes(8, "little") + b"{}", "claims 50 bytes"),
        ((6).to_bytes(8, "little") + b"{'a':1", "another form"),
        ((2).to_bytes(8, "little") + b"{}", ""),
    ],
)
def test_a_broken_safetensors_file(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    if not word:
        assert PytorchFrontend().inspect(str(path))["parameters"] == 0
        return
    with pytest.raises(InputError, match=word):
        PytorchFrontend().inspect(str(path))


def test_facts_need_no_pytorch(exported_programs: Path) -> None:
    script = (
        "import sys, json; sys.modules['torch'] = None\n"
        "from irconv.frontends.pytorch import PytorchFrontend\n"
        "print(json.dumps([PytorchFrontend().inspect(path) for path in sys.argv[1:]]))\n"
        "assert 'onnx_ir' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    names = ("weights.pt", "weights.safetensors", "checkpoint.pth", "module.pt")
    command = [sys.executable, "-c", script, *(str(exported_programs / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    state, tensors, checkpoint, module = json.loads(done.stdout)
    assert state["what"] == "a state dict"
    assert state["tensors"][0] == {"name": "shift", "dtype": "float32", "shape": [3]}
    assert state["parameters"] == tensors["parameters"] == 18
    assert checkpoint["state_dicts"] == ["model"]
    assert module["what"] == "a pickled object"
    assert "it imports pytorch_models.Plus" in module["dangers"]
    assert all(facts["needs_trust"] for facts in (state, tensors, checkpoint, module))
