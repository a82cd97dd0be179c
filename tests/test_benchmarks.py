"""The model zoo can be generated and compiled, and what it published holds together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "reference" / "zoo.json"


@pytest.mark.slow
def test_a_model_of_the_zoo_is_generated_and_compiled(tmp_path):
    done = subprocess.run(
        [
            sys.executable, ROOT / "benchmarks" / "zoo.py", "--only", "^tabular$", "--dynamic",
            "--target", "onnx", "--cache", tmp_path, "--jobs", "1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tabular-dynamic: onnx pass" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "tabular-dynamic.onnx",
        "tabular-dynamic.npz",
    }


def test_the_published_zoo():
    models = json.loads(RESULTS.read_text())["models"]
    assert len({model.rsplit("-", 1)[0] for model in models}) >= 40
    statuses = {
        entry["status"] for record in models.values() for entry in record["targets"].values()
    }
    assert not [status for status in statuses if not re.match(r"pass$|refused: ", status)]
    page = RESULTS.with_suffix(".md").read_text()
    assert all(f"| {model.rsplit('-', 1)[0]} | " in page for model in models)
