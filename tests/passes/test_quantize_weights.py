"""quantize-weights: the bound of half a step, the axes, and what is left alone."""

from __future__ import annotations

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from irconv.errors import UsageError
from irconv.passes import quantize_weights
from irconv.passes.base import PassContext, PassResult
from irconv.passes.quantize_weights import QuantizeWeights, quantize_tensor

SHAPES = array_shapes(min_dims=1, max_dims=4, max_side=5)
VALUES = st.floats(-(2.0**100), 2.0**100, width=32)


def dequantized(array: np.ndarray, axis: int | None, symmetric: bool) -> np.ndarray:
    result = quantize_tensor(array, axis, symmetric=symmetric)
    shape = [1] * array.ndim
    if axis is not None:
        shape[axis] = -1
    scale = result.scale.astype(np.float64).reshape(shape if axis is not None else ())
    zero = result.zero_point.astype(np.float64).reshape(shape if axis is not None else ())
    return (result.quantized.astype(np.float64) - zero) * scale


@settings(deadline=None, max_examples=150)
@given(arrays(np.float32, SHAPES, elements=VALUES), st.booleans(), st.data())
def test_every_weight_is_within_half_a_step(
    array: np.ndarray, symmetric: bool, data: st.DataObject
) -> None:
    axis = data.draw(st.none() | st.integers(0, array.ndim - 1))
    result = quantize_tensor(array, axis, symmetric=symmetric)
    assert result.quantized.dtype == np.int8
    assert result.quantized.shape == array.shape
    assert np.all(result.scale > 0)
    shape = [1] * array.ndim
    if axis is not None:
        shape[axis] = -1
    step = result.scale.astype(np.float64).reshape(shape if axis is not None else ())
    error = np.abs(array.astype(np.float64) - dequantized(array, axis, symmetric))
    assert np.all(error <= step * 0.5 * (1 + 1e-6))
    if symmetric:
        assert not result.zero_point.any()
        assert result.quantized.min() >= -127


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("size", [1e-7, 1.0, 1e4])
def test_narrow_dtypes_keep_the_bound(dtype: type, symmetric: bool, size: float) -> None:
    array = (np.random.default_rng(0).standard_normal((6, 7)) * size).astype(dtype)
    result = quantize_tensor(array, 0, symmetric=symmetric)
    assert result.scale.dtype == dtype
    ulp = float(np.spacing(np.abs(array).max()))
    assert result.max_error <= float(result.scale.max()) * 0.5 + ulp


def test_the_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(1).standard_normal((9, 5, 3)).astype(np.float32)
    whole = [quantize_tensor(array, axis) for axis in (None, 0, 1, 2)]
    monkeypatch.setattr("irconv.passes.weights.CHUNK_ELEMENTS", 20)
    for axis, expected in zip((None, 0, 1, 2), whole, strict=True):
        found = quantize_tensor(array, axis)
        np.testing.assert_array_equal(found.quantized, expected.quantized)
        np.testing.assert_array_equal(found.scale, expected.scale)


def test_ties_round_to_even() -> None:
    array = np.array([127.0, 0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    assert quantize_tensor(array, None).quantized.tolist() == [127, 0, 2, 2, 0, -2]


def test_the_self_check_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        quantize_weights, "_round_up", lambda exact, dtype: (exact * 0.5).astype(dtype)
    )
    with pytest.raises(ArithmeticError, match="half a step"):
        quantize_tensor(np.array([1.0, 2.0], np.float32), None)


NET = """
< ir_version: 10, opset_import: ["" : 20] >
net (float[1, 3, 6, 6] x, int64[4] ids) => (float[1, 8, 6, 6] a, float[1, 6, 7, 7] b,
                                            float[4, 5] c, float[4, 6] d)
{
    [conv] a = Conv <pads = [1, 1, 1, 1]> (x, conv_w)
    [pool] p = GlobalAveragePool (a)
    [up] b0 = ConvTranspose <group = 2> (a, up_w)
    b = Identity (b0)
    [table] t = Gather (table, ids)
    [head] c = Gemm <transB = 1> (t, gemm_w)
    [mix] d = MatMul (t, mat_w)
}
"""
WEIGHTS = {
    "conv_w": (8, 3, 3, 3),
    "up_w": (8, 3, 2, 2),
    "table": (50, 16),
    "gemm_w": (5, 16),
    "mat_w": (16, 6),
}


def build_net(dtype: type = np.float32) -> ir.Model:
    random = np.random.default_rng(3)
    text = NET if dtype == np.float32 else NET.replace("float[", "float16[")
    values = {
        name: ir.Value(
            name=name,
            shape=ir.Shape(shape),
            type=ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype))),
            const_value=ir.tensor(random.standard_normal(shape).astype(dtype), name=name),
        )
        for name, shape in WEIGHTS.items()
    }
    model = ir.from_onnx_text(text)
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            if value is not None and value.name in values:
                node.replace_input_with(index, values[value.name])
    for value in values.values():
        model.graph.register_initializer(value)
    return model


def run(model: ir.Model, **options: object) -> PassResult:
    return QuantizeWeights(**{"min_elements": 1, **options}).run(model, PassContext())


def test_each_operator_gets_its_own_channel_axis(kit: SimpleNamespace) -> None:
    source, model = build_net(), build_net()
    result = run(model)
    assert result.details["count"] == 5
    channels = {
        name: model.graph.initializers[f"{name}_scale"].const_value.shape[0] for name in WEIGHTS
    }
    assert channels == {"conv_w": 8, "up_w": 3, "table": 50, "gemm_w": 5, "mat_w": 6}
    assert not set(WEIGHTS) & set(model.graph.initializers)
    assert result.details["bytes_after"] < result.details["bytes_before"] / 2
    assert min(result.details["worst_snr_db"].values()) > 38
    feeds = kit.seeded_feeds(source)
    for was, now in zip(kit.ort_outputs(source, feeds), kit.ort_outputs(model, feeds), strict=True):
        noise = np.linalg.norm(was - now) / np.linalg.norm(was)
        assert 0 < noise < 0.02


def test_float16_scales_need_opset_19(kit: SimpleNamespace) -> None:
    model = build_net(np.float16)
    assert run(model).details["count"] == 5
    kit.ort_outputs(model, kit.seeded_feeds(model))
    old = build_net(np.float16)
    old.opset_imports[""] = 18
    result = run(old)
    assert not result.modified
    assert {"convert-opset{to=19}" in refusal.reason for refusal in result.refusals} == {True}


def test_options_choose_what_is_quantized() -> None:
    assert run(build_net(), skip=("head", "mi*")).details["count"] == 3
    assert run(build_net(), embeddings=False).details["count"] == 4
    assert run(build_net(), min_elements=100).details["count"] == 2
    whole = build_net()
    assert run(whole, per_channel=False).details["count"] == 5
    scale = whole.graph.initializers["conv_w_scale"].const_value
    assert list(scale.shape) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_weights_that_would_overflow_are_refused(bad: float) -> None:
    model = build_net()
    weight = model.graph.initializers["mat_w"]
    array = np.array(weight.const_value.numpy())
    array[0, 0] = bad
    weight.const_value = ir.tensor(array, name="mat_w")
    result = run(model)
    assert result.details["count"] == 4
    assert any("mat_w" in item.reason and "finite" in item.reason for item in result.refusals)


def test_taken_names_are_not_replaced() -> None:
    model = build_net()
    other = ir.Value(name="mat_w_scale", const_value=ir.tensor(np.ones(3, np.float32)))
    model.graph.register_initializer(other)
    run(model)
    assert model.graph.initializers["mat_w_scale"] is other
    assert "mat_w_scale_1" in model.graph.initializers


def test_only_eight_bits_exist() -> None:
    with pytest.raises(UsageError, match="choose one of: 8"):
        QuantizeWeights.from_options({"bits": "4"})
