"""What the tests of the JAX frontend share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for name in ("jax", "flax", "jax2onnx"):
    pytest.importorskip(name, exc_type=ImportError)


@pytest.fixture(autouse=True)
def factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and workers find the modules of this folder."""
    folder = str(Path(__file__).parent)
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.syspath_prepend(folder)
