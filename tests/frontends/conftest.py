"""Programs, archives and weights for the tests of PyTorch's formats, made once a session."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ``.pt2`` and weight files that ``pytorch_models.py`` writes."""
    return written_by("pytorch_models.py", tmp_path_factory)


@pytest.fixture(scope="session")
def script_archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the TorchScript archives that ``torchscript_models.py`` writes."""
    return written_by("torchscript_models.py", tmp_path_factory)


def written_by(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    folder = tmp_path_factory.mktemp(Path(name).stem)
    script = Path(__file__).with_name(name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
