"""The ONNX backend suite: a case that once passed may not fail again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from compare import difference
from report import read_results, regressions, settle
from run import available_targets
from suite import Case, load_suite

import irconv
from irconv.runtime.values import save_samples

FAST_SAMPLE = 40
API_SAMPLE = 24
STEPS = {"onnx": 1, "openvino": 4, "tflite": 4, "coreml": 8, "torchscript": 4}
"""Of how many cases the slow test runs one; of the targets that are not named, ``SLOW_STEP``."""
SLOW_STEP = 16
TARGETS = [target for target in available_targets() if target in read_results()]


@pytest.fixture(scope="session")
def suite() -> dict[str, Case]:
    return load_suite()


def _every(cases: dict[str, Case], step: int, offset: int = 0) -> dict[str, Case]:
    return dict(list(cases.items())[offset::step])


def _check(target: str, cases: dict[str, Case], folder: Path) -> None:
    """Run cases from an interpreter of their own: forks of one that has used torch can hang."""
    committed = read_results()[target]
    names, raw = folder / "cases.txt", folder / "statuses.json"
    names.write_text("\n".join(cases))
    script = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [
            sys.executable, "-W", "ignore", script, "--target", target, "--cases", names,
            "--raw", raw, "--no-baseline",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert raw.exists(), done.stderr
    settled = settle(target, json.loads(raw.read_text())[target])
    assert settled.keys() == cases.keys()
    assert regressions(committed, settled) == []


@pytest.mark.parametrize("target", TARGETS)
def test_sample(target: str, suite: dict[str, Case], tmp_path: Path) -> None:
    _check(target, _every(suite, len(suite) // FAST_SAMPLE), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_suite(target: str, suite: dict[str, Case], tmp_path: Path) -> None:
    step = STEPS.get(target, SLOW_STEP)
    _check(target, _every(suite, step, offset=step - 1), tmp_path)


def test_every_committed_status_is_settled(suite: dict[str, Case]) -> None:
    for statuses in read_results().values():
        assert statuses.keys() == suite.keys()
        for status in statuses.values():
            assert status == "pass" or status.startswith(("refused: ", "known: "))


def test_onnx_passes_at_least_what_onnx_runtime_alone_passes() -> None:
    assert list(read_results()["onnx"].values()).count("pass") >= 1849


@pytest.mark.slow
def test_sample_through_the_public_api(suite: dict[str, Case], tmp_path: Path) -> None:
    """Cases that pass in the fast driver pass through ``irconv.compile`` and its proof too."""
    committed = read_results()["onnx"]
    passing = {
        name: case
        for name, case in suite.items()
        if case.kind == "node" and committed[name] == "pass" and _tensors_only(case)
    }
    failures = []
    for name, case in _every(passing, len(passing) // API_SAMPLE).items():
        path = tmp_path / "model.onnx"
        onnx.save(case.model, path)
        feeds, expected = next(case.samples())
        data = tmp_path / "data.npz"
        save_samples(data, [feeds])
        out = tmp_path / name.replace("/", "-")
        result = irconv.compile(path, ["onnx"], out, data=str(data))
        if result.exit_code != 0:
            failures.append(f"{name}: {result.targets[0].error}")
            continue
        outputs = irconv.run(out / "onnx", feeds)
        values = [outputs[value.name] for value in case.model.graph.output]
        failures += filter(None, [difference(values, expected, case.tolerance)])
    assert failures == []


def _tensors_only(case: Case) -> bool:
    feeds, expected = next(case.samples())
    return bool(feeds) and all(
        isinstance(value, np.ndarray) and value.dtype.isbuiltin == 1
        for value in (*feeds.values(), *expected)
    )


def test_a_crash_costs_one_case_only() -> None:
    """The pool forks, so it runs in an interpreter of its own: this one may hold threads."""
    done = subprocess.run(
        [sys.executable, "-c", _POOL_WITH_A_CRASH],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout)
    assert statuses.pop("bad").startswith("crash: ")
    assert statuses == {"a": "pass", "b": "pass", "c": "pass"}


_POOL_WITH_A_CRASH = """
import json, os, signal
from pool import run_all

def work(case):
    if case == "bad":
        os.kill(os.getpid(), signal.SIGSEGV)
    return "pass"

print(json.dumps(dict(run_all(["a", "bad", "b", "c"], work))))
"""


def test_differences_are_found() -> None:
    tolerance = (1e-3, 1e-7)
    one = np.ones(3, np.float32)

    assert difference([one], [one * 1.0005], tolerance) == ""
    assert "1 of 3" in difference([one], [np.array([1, 1, 1.1], np.float32)], tolerance)
    assert "dtype" in difference([one], [one.astype(np.float64)], tolerance)
    assert "shape" in difference([one], [one[:2]], tolerance)
    assert "outputs" in difference([one], [one, one], tolerance)
    assert "strings" in difference([np.array(["a"], object)], [np.array(["b"], object)], tolerance)
    assert "1 of 3" in difference([one], [np.array([1, 1, np.nan], np.float32)], tolerance)
