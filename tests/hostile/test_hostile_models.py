"""Every hostile model is refused in one clear message, or does no harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MOST_MEMORY = 1 << 30
MOST_SECONDS = 60


def _run(root: Path, mode: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(HERE / "run_hostile.py"), str(root), mode, str(MOST_SECONDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {result["case"]: result for result in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return _run(tmp_path_factory.mktemp("hostile"), "load")


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return _run(tmp_path_factory.mktemp("optimized"), "optimize")


def _wrong(result: dict[str, Any]) -> str:
    """Say what is wrong with what became of one model; empty if nothing is."""
    if result["kind"] in ("died", "escaped"):
        return f"{result['kind']}: {result['text']}"
    if result["outside"]:
        return f"opened {result['outside']}"
    if result["peak"] > MOST_MEMORY:
        return f"took {result['peak'] >> 20} MiB"
    if any(ord(character) < 32 and character != "\n" for character in result["text"]):
        return f"control characters in the message {result['text']!r}"
    if result["refused"] is None:
        return "" if result["kind"] == "loaded" else f"was refused: {result['text']}"
    if result["kind"] != "InputError":
        return f"became {result['kind']}: {result['text']}"
    if not result["hint"]:
        return "has no hint"
    if re.search(result["refused"], result["text"]) is None:
        return f"says {result['text']!r}, not {result['refused']!r}"
    return ""


def test_there_are_enough_cases(loaded: dict[str, dict[str, Any]]) -> None:
    assert len(loaded) >= 150
    assert sum(result["refused"] is None for result in loaded.values()) >= 40


def test_every_model_is_refused_clearly_or_loads(loaded: dict[str, dict[str, Any]]) -> None:
    wrong = {case: _wrong(result) for case, result in loaded.items() if _wrong(result)}
    assert not wrong


@pytest.mark.slow
def test_the_default_pipeline_survives_every_model(
    optimized: dict[str, dict[str, Any]],
) -> None:
    wrong = {case: _wrong(result) for case, result in optimized.items() if _wrong(result)}
    assert not wrong
    rolled_back = {case: result["errors"] for case, result in optimized.items()
                   if result.get("errors")}  # fmt: skip
    assert not rolled_back
    bombs = {case: result["output_bytes"] for case, result in optimized.items()
             if result.get("output_bytes", 0) > 80 << 20}  # fmt: skip
    assert not bombs
