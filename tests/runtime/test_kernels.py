from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from irconv.backends.onnx import OnnxBackend
from irconv.errors import UnsupportedError
from irconv.passes.base import PassContext
from irconv.passes.fit_onnxruntime import FitOnnxruntime, kernel_gaps
from irconv.runtime.reference import open_reference


def _gaps(text: str, opset: int) -> list[str]:
    model = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : {opset}]> {text}')
    return list(kernel_gaps(model).values())


@pytest.mark.parametrize(
    ("text", "opset"),
    [
        ("g (float[2] x) => (float[2] y) { y = Relu(x) }", 21),
        ("g (float16[2] x) => (float16[2] y) { y = Elu(x) }", 21),
        ("g (float[2] x) => (float[2] y) { y = HardSwish(x) }", 22),
        ("g (string[2] x) => (string[2] y) { y = Identity(x) }", 21),
    ],
    ids=["kernel", "float16 by casts", "function body", "string"],
)
def test_what_runs_has_no_gap(text: str, opset: int) -> None:
    assert _gaps(text, opset) == []


@pytest.mark.parametrize(
    ("text", "opset", "reason"),
    [
        ("g (bfloat16[2] x) => (bfloat16[2] y) { y = Mul(x, x) }", 21, "dtypes: bfloat16"),
        ("g (float[1, 2, 4] x) => (float[1, 2, 2] y) { y = AveragePool<kernel_shape=[3]>(x) }",
         6, "version 1 of the operator"),
        ("g (float[2] x) => (float[2] y) { y = NoSuchOperator(x) }", 21, "does not know"),
    ],
)  # fmt: skip
def test_what_does_not_run_says_why(text: str, opset: int, reason: str) -> None:
    (gap,) = _gaps(text, opset)
    assert reason in gap


def test_check_names_every_node_without_a_kernel() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 21]>'
        "g (bfloat16[2] x) => (bfloat16[2] y, bfloat16[2] z)"
        "{ [first] y = Mul(x, x) [second] z = Sub(x, x) }"
    )
    assert not FitOnnxruntime().run(model, PassContext()).modified

    diagnostics = OnnxBackend().check(model, {})

    assert [entry.node for entry in diagnostics] == ["first", "second"]
    assert {entry.code for entry in diagnostics} == {"NO_KERNEL"}


def test_a_model_without_kernels_still_has_a_reference() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 22]>'
        "g (double[4] x) => (double[4] y) { y = ThresholdedRelu(x) }"
    )
    with open_reference(model, optimize=False) as runner:
        outputs = runner.run({"x": np.array([0.5, 1.0, 1.5, 2.0])})
        assert "no kernel" in runner.describe()["note"]

    assert outputs["y"].tolist() == [0, 0, 1.5, 2]
    assert [node.op_type for node in model.graph] == ["ThresholdedRelu"]


def test_a_model_that_nothing_helps_is_refused() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 21]>'
        "g (bfloat16[2] x) => (bfloat16[2] y) { y = Mul(x, x) }"
    )
    with pytest.raises(UnsupportedError, match="Mul"):
        open_reference(model, optimize=False)
