"""Models of other frameworks for the frontends' tests, made once a session."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from irconv.worker import Worker, WorkerLimits


@pytest.fixture(scope="session")
def exported_programs(write_models: Callable[[str], Path]) -> Path:
    """A folder with the ``.pt2`` and weight files that ``pytorch_models.py`` writes."""
    return write_models("pytorch_models.py")


@pytest.fixture(scope="session")
def script_archives(write_models: Callable[[str], Path]) -> Path:
    """A folder with the TorchScript archives that ``torchscript_models.py`` writes."""
    return write_models("torchscript_models.py")


@pytest.fixture(scope="session")
def write_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what runs a script of this folder and returns the folder that it writes to."""

    def write(name: str) -> Path:
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

    return write


class SharedWorker:
    """A worker that closing an import leaves alive; each load replaces the module before.

    Importing PyTorch takes seconds, which tests of what happens afterwards need not pay.
    """

    alive = True

    def __init__(self, service: str) -> None:
        self.worker = Worker(service, limits=WorkerLimits(seconds=240), label=service)
        self.call = self.worker.call

    def close(self) -> None:
        """Leave the worker alive."""


@pytest.fixture(scope="session")
def shared_worker() -> Iterator[Callable[[str], SharedWorker]]:
    """Return the one worker of a service; modules of this folder can be imported in it."""
    workers: dict[str, SharedWorker] = {}

    def start(service: str) -> SharedWorker:
        if service not in workers:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
                workers[service] = SharedWorker(service)
        return workers[service]

    yield start
    for shared in workers.values():
        shared.worker.close()


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
