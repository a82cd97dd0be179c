"""What real exporters write, made once a session."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def _written_by(script: str, framework: str, folder: Path) -> Path:
    """Run a script of this folder in its own process, since frameworks do not go along."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name(script)), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def torch_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the ONNX files that ``torch_models.py`` writes."""
    return _written_by("torch_models.py", "torch", tmp_path_factory.mktemp("torch_exports"))


@pytest.fixture(scope="session")
def keras_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the SavedModels that ``keras_models.py`` writes."""
    return _written_by("keras_models.py", "tensorflow", tmp_path_factory.mktemp("keras_exports"))


@pytest.fixture(scope="session")
def transformers_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the ONNX files and samples that ``transformers_models.py`` writes."""
    folder = tmp_path_factory.mktemp("transformers_exports")
    return _written_by("transformers_models.py", "transformers", folder)


@pytest.fixture(scope="session")
def torch_recurrent_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the ONNX files that ``torch_recurrent_models.py`` writes."""
    folder = tmp_path_factory.mktemp("torch_recurrent_exports")
    return _written_by("torch_recurrent_models.py", "torch", folder)


@pytest.fixture(scope="session")
def keras_recurrent_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the SavedModels that ``keras_recurrent_models.py`` writes."""
    folder = tmp_path_factory.mktemp("keras_recurrent_exports")
    return _written_by("keras_recurrent_models.py", "tensorflow", folder)
