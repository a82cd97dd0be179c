"""What the tests of the scikit-learn frontend share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

for name in ("sklearn", "skl2onnx", "onnxmltools", "pandas", "xgboost", "lightgbm"):
    pytest.importorskip(name)


@pytest.fixture(autouse=True)
def factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers find the modules of this folder."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def irconv_run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "irconv.cli.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call
