"""The target ``executorch``, run in ExecuTorch's own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_torchscript.executorch.backend import ExecutorchBackend

import irconv
from irconv.backends.base import EmitRequest
from irconv.errors import InputError, UnsupportedError
from irconv.testing import assert_backend_conforms

pytest.importorskip("executorch", reason="executorch is not installed")

_NET = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[batch, 4] x) => (float[batch, 3] y, int64[batch] best)
<float[4, 3] w = {1, -2, 3, 0.5, 0.25, -1, 2, 2, -3, 1, 4, 0}, float[3] b = {0.5, -0.5, 1}>
{
    h = MatMul(x, w)
    s = Add(h, b)
    y = Relu(s)
    best = ArgMax <axis = 1, keepdims = 0> (s)
}
"""


def _save(text: str, directory: Path) -> Path:
    path = directory / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("delegate", ["xnnpack", "portable"])
def test_sizes_within_the_planned_range_run(tmp_path: Path, delegate: str) -> None:
    source = _save(_NET, tmp_path)
    result = irconv.compile(
        source, [f"executorch{{delegate={delegate}}}"], tmp_path / "build", shapes=("batch=1..8@4",)
    )
    assert result.exit_code == 0, result.to_json()
    (bundle,) = (tmp_path / "build").iterdir()
    generator = np.random.default_rng(5)
    for size in (1, 3, 8):
        x = generator.normal(size=(size, 4)).astype(np.float32)
        outputs = irconv.run(bundle, {"x": x})
        assert outputs["y"].shape == (size, 3)
        assert outputs["best"].dtype == np.int64
    with pytest.raises(InputError, match=r"planned for \[1\.\.8, 4\]"):
        irconv.run(bundle, {"x": np.zeros((9, 4), np.float32)})


def test_an_open_dimension_is_named_with_the_flag_that_bounds_it(tmp_path: Path) -> None:
    (found,) = irconv.check(_save(_NET, tmp_path), ["executorch"])
    (diagnostic,) = found.diagnostics
    assert diagnostic.code == "DYNAMIC_SHAPE"
    assert "'batch'" in diagnostic.reason
    assert "--shape 'batch=" in diagnostic.way_out


def test_control_flow_and_dtypes_are_refused_at_once(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    net (float[2] x, bool c, uint32[2] u) => (float[2] y, uint32[2] v) {
        y = If (c) <
            then_branch = then_graph () => (float[2] t) { t = Neg(x) },
            else_branch = else_graph () => (float[2] e) { e = Relu(x) }
        >
        v = Add(u, u)
    }
    """
    (found,) = irconv.check(_save(text, tmp_path), ["executorch"])
    codes = {(diagnostic.code, diagnostic.op) for diagnostic in found.diagnostics}
    assert ("UNSUPPORTED_OP", "If") in codes
    assert ("UNSUPPORTED_DTYPE", "Add") in codes


def test_emit_refuses_operands_of_mixed_dtypes(tmp_path: Path) -> None:
    model = ir.from_onnx_text("""
    <ir_version: 10, opset_import: ["" : 20]>
    net (float[2] x) => (float[2] y) <int64[2] w = {1, 2}> { y = Mul(x, w) }
    """)
    with pytest.raises(UnsupportedError) as caught:
        ExecutorchBackend().emit(model, tmp_path, EmitRequest({}))
    assert [found.code for found in caught.value.diagnostics] == ["MIXED_DTYPES"]


@pytest.mark.slow
def test_the_backend_keeps_its_promises() -> None:
    assert_backend_conforms("executorch")
