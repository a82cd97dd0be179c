"""Which frontend reads a source, and what it is asked beside the source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest

import irconv
from irconv.backends.base import Availability
from irconv.errors import InputError, MissingError, UsageError
from irconv.frontends.base import ImportRequest
from irconv.frontends.choose import choose_frontend
from irconv.frontends.onnx import OnnxFrontend
from irconv.plugins import load_registry
from irconv.worker import WorkerLimits


@dataclasses.dataclass(frozen=True)
class Absent(OnnxFrontend):
    """A frontend whose framework is not installed."""

    name: ClassVar[str] = "absent"

    def available(self) -> Availability:
        return Availability(False, "its framework is not installed", "pip install framework")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    text = '<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {y = Relu(x)}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_the_source_decides_unless_the_user_does(model: Path) -> None:
    registry = load_registry()
    assert str(choose_frontend(registry, str(model))) == "onnx"
    assert str(choose_frontend(registry, str(model), "pytorch{opset=18}")) == "pytorch{opset=18}"
    with pytest.raises(UsageError, match="there is no frontend 'caffe'"):
        choose_frontend(registry, str(model), "caffe")
    with pytest.raises(InputError, match="there is no file"):
        choose_frontend(registry, str(model.with_name("other.unknown")))


@pytest.mark.parametrize(
    ("options", "where"),
    [({"signature": "s"}, "--signature"), ({"outputs": ("y",)}, "--output-name")],
)
def test_what_a_frontend_would_ignore_is_refused(
    model: Path, options: dict[str, object], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        irconv.compile(model, ["onnx"], None, **options)
    assert caught.value.where == where


def test_a_missing_framework_may_be_in_another_environment(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="its framework is not installed") as caught:
        Absent().require(ImportRequest(tmp_path, WorkerLimits(1.0)))
    assert caught.value.hint == (
        "pip install framework, or name the interpreter of an environment that has it by "
        "--frontend-python"
    )
    Absent().require(ImportRequest(tmp_path, WorkerLimits(1.0, python="elsewhere/bin/python")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 and no more", "none that PyTorch writes"),
        (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00trueR.", "no file that PyTorch writes"),
        (b"", "no file that PyTorch writes"),
    ],
)
@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ts"])
def test_a_wrong_file_for_pytorch_ends_with_exit_code_2(
    irconv_cli: Callable[..., Any], tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for arguments in (("inspect", path), ("compile", path, "--target", "onnx", "--trust")):
        outcome = irconv_cli(*arguments)
        assert outcome.code == 2
        assert words in outcome.err
        assert "next:" in outcome.err
        assert "Traceback" not in outcome.err
