"""assert_backend_conforms must accept a sound backend and name each promise that is broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from irconv.testing import CASES, assert_backend_conforms
from irconv.worker import WorkerLimits

BROKEN = Path(__file__).parent / "broken"
BY_NAME = {case.name: case for case in CASES}
PLAIN = [BY_NAME["gemm-softmax"]]
MIXED = [BY_NAME["outputs-of-three-dtypes-in-their-own-order"]]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def broken_plugin(tmp_path, monkeypatch):
    """Install the plugin of broken backends for this process and its workers."""
    metadata = tmp_path / "irconv_broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: irconv-broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[irconv]\nbroken = irconv_broken\n")
    for path in (str(tmp_path), str(BROKEN)):
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(BROKEN))))


def failures(target, cases, seconds=60.0):
    """Return the broken promises of a target and the text of the report."""
    with pytest.raises(AssertionError) as caught:
        assert_backend_conforms(target, cases=cases, limits=WorkerLimits(seconds=seconds))
    text = str(caught.value)
    return [line.removeprefix("fail  ") for line in text.splitlines() if line[:4] == "fail"], text


def test_a_sound_backend_keeps_every_promise():
    report = assert_backend_conforms("broken-not-at-all", cases=PLAIN + MIXED)
    assert not report.failures
    assert {outcome.status for outcome in report.outcomes} == {"pass"}
    assert len(report.outcomes) >= 20


@pytest.mark.parametrize(
    ("target", "cases", "promise", "reason"),
    [
        ("broken-order", MIXED, "outputs have the source's names, in its order", "expected"),
        ("broken-dtype", MIXED, "outputs have the source's dtypes and shapes, at every batch size",
         "zenith, batch 1: float32[1], expected int64[1]"),
        ("broken-numbers", PLAIN, "outputs agree with ONNX Runtime within the artifact's precision",
         "largest error 1"),
        ("broken-repetition", PLAIN,
         "the same inputs give the same outputs, also after other inputs", "differ"),
        ("broken-place", PLAIN, "emit() writes into its directory and nowhere else",
         "artifacts/stray.txt was written"),
        ("broken-world", PLAIN,
         "emit() leaves the working directory, the environment and standard output alone",
         "printed by a child"),
        ("broken-reason", PLAIN, ("check() lists every unsupported node, in bodies and functions "
         "too, with a reason and a way out"), "no reason"),
        ("broken-check", PLAIN, ("check() lists every unsupported node, in bodies and functions "
         "too, with a reason and a way out"), "not listed: fourth, second, third"),
        ("broken-main", PLAIN, ("the artifact names a main file, a precision and a runtime, "
         "and survives JSON"), "other.onnx"),
        ("broken-close", PLAIN, "close() may be called twice, and a closed runner says so",
         "closing it twice: AssertionError: closed before"),
        ("broken-cleanup", PLAIN, "running leaves the artifact as it was, and no files behind",
         "core.dump was left behind"),
    ],
)  # fmt: skip
def test_one_broken_promise_is_found_and_no_other(target, cases, promise, reason):
    broken, text = failures(target, cases)
    assert broken == [promise]
    assert reason in text


def test_a_backend_that_ends_its_process():
    broken, text = failures("broken-exit", PLAIN)
    assert "emit() takes what check() took" in broken
    assert "exit status 3" in text
    assert "| the last words" in text


def test_a_backend_that_crashes_its_process():
    broken, text = failures("broken-memory", PLAIN)
    assert "a fresh process opens and runs the artifact" in broken
    assert "SIGSEGV" in text


def test_a_backend_that_hangs_is_stopped():
    broken, text = failures("broken-time", PLAIN, seconds=4.0)
    assert "emit() takes what check() took" in broken
    assert "more than 4 s" in text
    assert "its processes died 3 times, so the rest was left out" in text


def test_a_backend_that_swallows_anything():
    broken, text = failures("broken-validation", PLAIN)
    assert "broken models give an error, not a crash" in broken
    assert "as if nothing were wrong" in text
    assert "close() may be called twice, and a closed runner says so" in broken


def test_an_unknown_pass_is_found_twice():
    broken, _ = failures("broken-legalization", PLAIN)
    assert broken[:2] == [
        "legalization() names known passes",
        "legalization() passes keep their contract on every sample model",
    ]


def test_broken_declarations():
    from irconv_broken import NotFrozen

    broken, text = failures(NotFrozen(), PLAIN)
    assert "it is a frozen dataclass whose options have defaults" in broken
    assert "its name is kebab-case and its summary is one line" in broken
    assert "its module and its declarations import nothing heavy, quickly" in broken
    assert "a declaration imports numpy" in text


@pytest.mark.parametrize("target", ["onnx", "reference"])
def test_the_targets_of_the_core_and_the_example_conform(target):
    report = assert_backend_conforms(target)
    assert [outcome for outcome in report.outcomes if outcome.status != "pass"] == []
