"""What the tests of the JAX frontend share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

for name in ("jax", "flax", "jax2onnx"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)


@pytest.fixture(autouse=True)
def factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and workers find the modules of this folder."""
    folder = str(Path(__file__).parent)
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.syspath_prepend(folder)
