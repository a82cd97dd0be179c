"""Commands and workers stay quick and small by what they do not import."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest

HEAVY = {
    "ai_edge_litert", "ai_edge_quantizer", "coremltools", "executorch", "flatbuffers", "ml_dtypes",
    "networkx", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "openvino", "psutil",
    "rich", "sympy", "tensorrt_rtx", "torch",
}  # fmt: skip


def imported(*arguments: str) -> set[str]:
    """Return the top-level modules that a command imports."""
    return {name.split(".")[0] for name in _import_lines(*arguments)}


def _import_lines(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "irconv.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compile", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    modules = imported(*arguments)
    assert "click" in modules
    assert modules & HEAVY == set()


def test_listing_targets_imports_no_runtime():
    assert imported("targets") & (HEAVY - {"rich"}) == set()


def test_optimizing_imports_only_what_it_needs(tmp_path):
    model = tmp_path / "model.onnx"
    text = (
        '<ir_version: 9, opset_import: ["": 18]> g (float[N, 2] x) => (float[N, 2] y) {y = Relu(x)}'
    )
    onnx.save(onnx.parser.parse_model(text), model)

    lines = _import_lines("optimize", str(model), "-o", str(tmp_path / "out.onnx"))

    assert "onnx_ir" in lines
    needless = {
        "networkx", "onnx.reference", "onnxruntime", "onnxscript", "scipy", "sympy.core",
        "torch",
    }  # fmt: skip
    assert not needless & lines


@pytest.mark.parametrize(
    ("modules", "needless"),
    [
        ("irconv.frontends.onnx", {"numpy", "onnx", "onnx_ir", "onnxruntime"}),
        (
            "irconv.runtime.service, irconv.runtime.onnxruntime",
            {"onnx", "onnx_ir", "pluggy", "sympy"},
        ),
    ],
)
def test_importing_a_module_is_light(modules, needless):
    script = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not needless & set(done.stdout.split())
