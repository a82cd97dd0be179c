"""Sources that are code: found, called and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from irconv.errors import InputError
from irconv.frontends.factories import call_factory, is_factory


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_factories.py").write_text(
        "class Holder:\n"
        "    @staticmethod\n"
        "    def build():\n"
        "        return 7\n"
        "VALUE = [1]\n"
        "def broken():\n"
        "    raise ValueError('no such weights')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return "some_factories"


@pytest.mark.parametrize(
    ("source", "known"),
    [("a.b:c", True), ("a:b.c", True), ("model.onnx", False), ("a:", False), ("C:/x", False)],
)
def test_what_a_factory_looks_like(source: str, known: bool) -> None:
    assert is_factory(source) is known


def test_calling(module: str) -> None:
    assert call_factory(f"{module}:Holder.build", where="here", returns="a number") == 7
    assert call_factory(f"{module}:VALUE", where="here", returns="a number") == [1]


@pytest.mark.parametrize(
    ("target", "message", "where"),
    [
        ("no_such_module:f", "cannot be imported", "here"),
        ("some_factories:nothing", "has no 'nothing'", "here"),
        ("some_factories:broken", "ValueError: no such weights", "some_factories.py:7 in broken"),
    ],
)
def test_errors(module: str, target: str, message: str, where: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call_factory(target, where="here", returns="a number")
    assert caught.value.where.endswith(where)
    assert caught.value.hint
