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


@pytest.mark.parametrize(
    ("interface", "node"),
    [
        ("(float[4] x) => (int32[4] y)", "BitCast <to = 6> (x)"),
        ("(float[2, 2] x) => (float y)", "Det(x)"),
        (
            "(float[4] x, int64[2] i, float[2] u) => (float[4] y)",
            'ScatterElements <reduction = "max"> (x, i, u)',
        ),
        (
            "(float[1, 1, 2, 2, 2] x, float[1, 2, 2, 2, 3] g) => (float[1, 1, 2, 2, 2] y)",
            "GridSample(x, g)",
        ),
    ],
)
def test_check_refuses_what_has_no_kernel(interface: str, node: str) -> None:
    model = ir.from_onnx_text(
        f'<ir_version: 13, opset_import: ["" : 26]> net {interface} {{ y = {node} }}'
    )
    (diagnostic,) = ExecutorchBackend().check(model, {})
    assert diagnostic.code == "NO_KERNEL"
    assert node.startswith(diagnostic.op)
    assert "torchscript" in diagnostic.way_out


def test_check_takes_scattering_by_sum() -> None:
    model = ir.from_onnx_text("""
    <ir_version: 13, opset_import: ["" : 26]>
    net (float[4] x, int64[2] i, float[2] u) => (float[4] y) {
        y = ScatterElements <reduction = "add"> (x, i, u)
    }
    """)
    assert ExecutorchBackend().check(model, {}) == []


def test_emit_names_operators_without_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ir.from_onnx_text("""
    <ir_version: 13, opset_import: ["" : 26]>
    net (float[5] x) => (float[2] y, int64[2] places) <int64[1] k = {2}> {
        y, places = TopK(x, k)
    }
    """)
    monkeypatch.setattr("irconv_torchscript.executorch.checks.check_kernels", lambda model: [])
    with pytest.raises(UnsupportedError) as caught:
        ExecutorchBackend().emit(model, tmp_path, EmitRequest({}))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "NO_KERNEL"
    assert "aten::sort" in diagnostic.reason
    assert not list(tmp_path.iterdir())


_VOLUMES = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[2, 4, 5, 6, 7] x, int64[3] a, int64[3] b, float[0] rest)
    => (float[2, 2, 3, 2, 3] c, float[2, 4, 3, 3, 4] m, float[2, 4, 3, 3, 4] v,
        int64[3] r, float[2, 4, 5, 4, 7] p, float[2, 4, 5, 6, 7] g, float s)
<float[2] bias = {0.5, -1}, int64[2] cut = {-1, -1}, int64[1] axis = {3}>
{
    c = Conv <group = 2, strides = [2, 2, 2], pads = [1, 0, 0, 1, 0, 0],
              dilations = [1, 2, 1]> (x, w, bias)
    m = MaxPool <kernel_shape = [3, 2, 2], strides = [2, 2, 2], pads = [1, 0, 1, 1, 0, 1]> (x)
    v = AveragePool <kernel_shape = [3, 2, 2], strides = [2, 2, 2], pads = [1, 0, 1, 1, 0, 1]> (x)
    r = Mod(a, b)
    p = Pad(x, cut, , axis)
    g = Gelu <approximate = "tanh"> (x)
    s = ReduceSum <keepdims = 0> (rest)
}
"""


@pytest.mark.slow
def test_decomposed_operators_give_the_numbers_of_torch(tmp_path: Path) -> None:
    generator = np.random.default_rng(11)
    proto = onnx.parser.parse_model(_VOLUMES)
    weight = generator.normal(size=(2, 2, 2, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    source = tmp_path / "volumes.onnx"
    onnx.save(proto, source)
    result = irconv.compile(source, ["executorch", "onnx"], tmp_path / "build")
    assert result.exit_code == 0, result.to_json()
    bundles = sorted((tmp_path / "build").iterdir())
    feeds = {
        "x": generator.normal(size=(2, 4, 5, 6, 7)).astype(np.float32),
        "a": np.array([-7, 7, 2**60 + 1], np.int64),
        "b": np.array([3, -3, 1000], np.int64),
        "rest": np.zeros(0, np.float32),
    }
    ours, theirs = (irconv.run(bundle, feeds) for bundle in bundles)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_backend_keeps_its_promises() -> None:
    assert_backend_conforms("executorch")
