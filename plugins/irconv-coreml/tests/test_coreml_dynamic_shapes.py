"""Shapes that only the run knows, through the public API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from irconv_coreml.interpreter.package import open_package

import irconv
from irconv.errors import ExitCode

RESIZE = """
    <ir_version: 10, opset_import: ["" : 18]>
    g (float[N, 2, 4, 4] x) => (float[N, 2, 8, 8] y) <%s> {
        start = Constant <value_ints = [0]> ()
        two = Constant <value_ints = [2]> ()
        plane = Constant <value_ints = [8, 8]> ()
        held = Relu (x)
        whole = Shape (held)
        kept = Slice (whole, start, two)
        sizes = Concat <axis = 0> (kept, plane)
        resized = Resize <mode = "linear"> (held, , , sizes)
        y = Neg (resized)
    }"""


@pytest.mark.parametrize(
    ("known", "operator"),
    [("float[N, 2, 8, 8] resized", "resize_bilinear"), ("float[K, L, P, Q] resized", "gather")],
    ids=["a batch of the same name", "sizes of the run"],
)
def test_a_resize_of_a_dynamic_batch(known: str, operator: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(RESIZE % known), path)

    result = irconv.compile(path, ["coreml"], tmp_path / "out", shapes=["N=1..4@2"])

    assert result.exit_code == ExitCode.OK, result.targets[0].error
    package = open_package(tmp_path / "out" / "coreml" / "model.mlpackage")
    kinds = [operation.kind for operation in package.functions["main"].block.operations]
    assert operator in kinds
    x = np.random.default_rng(1).standard_normal((3, 2, 4, 4)).astype(np.float32)
    y = irconv.run(tmp_path / "out" / "coreml", {"x": x})["y"]
    assert np.shape(y) == (3, 2, 8, 8)
