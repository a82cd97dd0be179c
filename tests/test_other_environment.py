"""A target that is not available here may be available to another interpreter."""

from __future__ import annotations

import os
import sys

import pytest

import irconv
from irconv.errors import MissingError

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from irconv.backends.base import Availability
from irconv.backends.onnx import OnnxBackend
from irconv.hookspecs import hookimpl


@dataclass(frozen=True)
class Elsewhere(OnnxBackend):
    name: ClassVar[str] = "elsewhere"

    def available(self):
        return Availability(False, "its SDK is in another environment", "use --python")


@hookimpl
def irconv_backends():
    return [Elsewhere]
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path, monkeypatch):
    """Install a plugin for this process and its workers."""
    folder = tmp_path / "site"
    metadata = folder / "irconv_elsewhere-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: irconv-elsewhere\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text("[irconv]\nelsewhere = irconv_elsewhere\n")
    (folder / "irconv_elsewhere.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    )


def test_without_an_interpreter_it_is_missing(small_net, tmp_path):
    with pytest.raises(MissingError, match="another environment") as caught:
        irconv.compile(small_net, ["elsewhere"], tmp_path / "build")
    assert caught.value.hint == "use --python"


def test_with_an_interpreter_it_is_built_and_proved(small_net, tmp_path):
    result = irconv.compile(
        small_net, ["elsewhere"], tmp_path / "build", python={"elsewhere": sys.executable}
    )
    assert result.exit_code == 0
    assert result.targets[0].manifest["verification"]["level"] == "artifact"


def test_its_bundle_is_proved_again_by_that_interpreter(small_net, tmp_path, irconv_cli):
    irconv.compile(
        small_net, ["elsewhere"], tmp_path / "build", python={"elsewhere": sys.executable}
    )
    bundle = tmp_path / "build" / "elsewhere"
    assert irconv_cli("verify", bundle).code == 3
    assert irconv_cli("verify", bundle, "--python", sys.executable).code == 0
