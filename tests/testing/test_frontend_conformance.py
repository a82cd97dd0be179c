"""assert_frontend_conforms must accept a sound frontend and name each promise that is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irconv.frontends.base import Imported, ImportRequest
from irconv.frontends.onnx import OnnxFrontend
from irconv.runtime.base import Feeds, Runner, Value
from irconv.testing import assert_frontend_conforms

pytestmark = pytest.mark.slow


def test_a_sound_frontend_keeps_every_promise(small_net: Path) -> None:
    report = assert_frontend_conforms("onnx", small_net)
    assert {outcome.status for outcome in report.outcomes} == {"pass"}
    assert len(report.outcomes) >= 12
    assert str(report).startswith("frontend onnx: ")


class Bent(Runner):
    """Passes the outputs of another runner through a function."""

    def __init__(self, runner: Runner, bend: Callable[[dict[str, Value]], dict[str, Value]]):
        self._runner, self._bend = runner, bend

    def run(self, feeds: Feeds) -> dict[str, Value]:
        return self._bend(self._runner.run(feeds))

    def describe(self) -> dict[str, str]:
        return self._runner.describe()

    def close(self) -> None:
        self._runner.close()


class Counter:
    calls = 0


def scaled(outputs: dict[str, Value]) -> dict[str, Value]:
    return {name: np.asarray(value) * 2 for name, value in outputs.items()}


def reordered(outputs: dict[str, Value]) -> dict[str, Value]:
    return dict(reversed(outputs.items()))


def widened(outputs: dict[str, Value]) -> dict[str, Value]:
    return outputs | {"logits": np.asarray(outputs["logits"], dtype=np.float64)}


def drifting(outputs: dict[str, Value]) -> dict[str, Value]:
    Counter.calls += 1
    return outputs | {"logits": np.asarray(outputs["logits"]) + np.float32(Counter.calls)}


@pytest.mark.parametrize(
    ("bend", "promise"),
    [
        (scaled, "the model gives the source's outputs in ONNX Runtime"),
        (reordered, "outputs have the model's names, order, dtypes and ranks"),
        (widened, "outputs have the model's names, order, dtypes and ranks"),
        (drifting, "the same inputs give the same outputs"),
    ],
)
def test_a_reference_that_is_wrong(bend: Any, promise: str, small_net: Path) -> None:
    class Broken(OnnxFrontend):
        def load(self, source: str, request: ImportRequest) -> Imported:
            imported = super().load(source, request)
            opened = imported.open_reference
            return dataclasses.replace(imported, open_reference=lambda: Bent(opened(), bend))

    assert f"fail  {promise}" in broken_promises(Broken(), small_net)


def test_a_frontend_that_lets_errors_escape(small_net: Path) -> None:
    class Broken(OnnxFrontend):
        def inspect(self, source: str) -> dict[str, Any]:
            return {"frontend": self.name, "bytes": len(Path(source).read_bytes())}

    text = broken_promises(Broken(), small_net)
    assert "fail  broken files give an error with a way out, and no crash" in text
    assert "FileNotFoundError" in text


def test_a_frontend_that_runs_code_without_trust(small_net: Path) -> None:
    text = broken_promises(OnnxFrontend(), small_net, trust=True)
    assert "fail  code needs trust" in text
    assert "fail  inspect() gives facts as JSON, and says what needs trust" in text


def broken_promises(frontend: OnnxFrontend, source: Path, *, trust: bool = False) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_frontend_conforms(frontend, source, trust=trust)
    return str(caught.value)
