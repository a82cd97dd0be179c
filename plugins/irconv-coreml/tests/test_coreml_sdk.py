"""What importing and using coremltools brings into a process: no other framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

IMPORT = """
import os, sys
before = dict(os.environ)
from irconv_coreml.sdk import load_coremltools
load_coremltools()
assert dict(os.environ) == before, "the environment changed"
assert None not in sys.modules.values(), "a framework stays hidden"
"""
EMIT = """
import tempfile
from irconv.backends.base import EmitRequest
from irconv.graph.reading.load import load_model
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.shapes import parse_shapes

registry, shapes = load_registry(), parse_shapes(["N=1..4@2"])
for spec in sys.argv[2:]:
    backend = registry.build_backend(spec)
    passes = [registry.build_pass(text) for text in backend.legalization()]
    model = PassManager(passes).run(load_model(Path(sys.argv[1])).model).model
    with tempfile.TemporaryDirectory() as folder:
        artifact = backend.emit(model, Path(folder), EmitRequest(shapes))
        backend.runner(Path(folder), artifact).close()
"""
ALONE = """
frameworks = {"executorch", "jax", "sklearn", "tensorflow", "torch", "transformers", "xgboost"}
assert not frameworks & set(sys.modules), frameworks & set(sys.modules)
"""
SPECS = (
    "coreml",
    "coreml{precision=f16}",
    "coreml{weights=int8}",
    "coreml{weights=int4,target=iOS18}",
    "coreml{weights=palette4}",
    "coreml{shapes=functions,target=iOS18}",
)


def run(code: str, *arguments: str) -> None:
    """Run code in an interpreter of its own; its error is the test's."""
    done = subprocess.run(
        [sys.executable, "-c", "from pathlib import Path\n" + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_importing_coremltools_imports_no_framework() -> None:
    run(IMPORT + ALONE)


def test_frameworks_can_be_imported_afterwards() -> None:
    pytest.importorskip("sklearn")
    run(IMPORT + "import sklearn\nassert sklearn.__version__")


@pytest.mark.slow
def test_emitting_imports_no_framework(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 20]>
        g (float[N, 64] x) => (float[N, 32] y) { y = MatMul (x, w) }""")
    weight = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "model.onnx")

    run(IMPORT + EMIT + ALONE, str(tmp_path / "model.onnx"), *SPECS)
