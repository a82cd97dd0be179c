"""``irconv --help`` stays quick by what it does not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "ai_edge_litert", "ai_edge_quantizer", "coremltools", "executorch", "flatbuffers", "ml_dtypes",
    "networkx", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "openvino", "psutil",
    "rich", "sympy", "tensorrt_rtx", "torch",
}  # fmt: skip


def imported(*arguments: str) -> set[str]:
    """Return the top-level modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "irconv.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line]
    return {line.split(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compile", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    modules = imported(*arguments)
    assert "click" in modules
    assert modules & HEAVY == set()


def test_listing_targets_imports_no_runtime():
    assert imported("targets") & (HEAVY - {"rich"}) == set()
