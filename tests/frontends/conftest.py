"""Models of other frameworks for the frontends' tests, made once a session."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ``.pt2`` files that ``pytorch_models.py`` writes."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    folder = tmp_path_factory.mktemp("programs")
    script = Path(__file__).with_name("pytorch_models.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def tensorflow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models that ``tensorflow_models.py`` writes."""
    for name in ("tensorflow", "keras", "tf2onnx"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp("tensorflow")
    script = Path(__file__).with_name("tensorflow_models.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
