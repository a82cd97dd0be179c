"""Infinities, ties and odd windows, of which OpenVINO alone gets some wrong."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_openvino.backend import OpenvinoBackend
from irconv_openvino.sdk import load_openvino

from irconv.backends.base import EmitRequest
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import load_registry

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}


def plain(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of OpenVINO without irconv."""
    compiled = load_openvino().Core().compile_model(str(path), "CPU", SETTINGS)
    results = compiled(feeds)
    return [np.array(results[port]) for port in compiled.outputs]


def legalized(folder: Path, text: str, feeds: dict[str, Any]) -> dict[str, Any]:
    """The outputs of what the backend makes of the legalized model; the source lies beside it."""
    source = onnx.parser.parse_model(text)
    onnx.save(source, folder / "model.onnx")
    registry, backend = load_registry(), OpenvinoBackend()
    manager = PassManager(build_pipeline(registry, backend.legalization()), strict=True)
    context = PassContext(abilities=backend.abilities())
    model = manager.run(ir.from_proto(source), context).model
    assert backend.check(model, {}) == []
    directory = folder / "artifact"
    directory.mkdir(exist_ok=True)
    artifact = backend.emit(model, directory, EmitRequest())
    with backend.runner(directory, artifact) as runner:
        return dict(runner.run(feeds))


SAFE_ATTENTION = """
    <ir_version: 8, opset_import: ["" : 18]>
    g (float[B, H, L, 8] q, float[B, H, 8, S] k, float[B, H, S, 8] v, bool[L, S] mask)
    => (float[B, H, L, 8] y) <float zero = {0}, float infinity = {-inf}, int64[1] axes = {-1}> {
        bias = Where(mask, zero, infinity)
        product = MatMul(q, k)
        scores = Add(product, bias)
        soft = Softmax(scores)
        best = ReduceMax(bias, axes)
        masked = Equal(best, infinity)
        safe = Where(masked, zero, soft)
        y = MatMul(safe, v)
    }"""
ATTENTION = """
    <ir_version: 11, opset_import: ["" : 23]>
    g (float[B, 4, L, 8] q, float[B, 4, S, 8] k, float[B, 4, S, 8] v, bool[L, S] mask)
    => (float[B, 4, L, 8] y) { y = Attention(q, k, v, mask) }"""


@pytest.mark.parametrize("text", [SAFE_ATTENTION, ATTENTION], ids=["written-out", "operator"])
def test_a_row_of_attention_whose_every_position_is_masked_is_zero(
    text: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    q, k, v = (random.standard_normal((2, 4, 6, 8)).astype(np.float32) for _ in range(3))
    mask = random.random((6, 6)) > 0.4
    mask[2] = False
    keys = np.ascontiguousarray(k.swapaxes(2, 3)) if text is SAFE_ATTENTION else k

    found = legalized(tmp_path, text, {"q": q, "k": keys, "v": v, "mask": mask})["y"]

    scale = 1.0 if text is SAFE_ATTENTION else 8**-0.5
    weights = np.exp(q @ k.swapaxes(2, 3) * scale) * mask
    weights /= np.where(mask.any(-1, keepdims=True), weights.sum(-1, keepdims=True), 1)
    np.testing.assert_allclose(found, weights @ v, rtol=1e-4, atol=1e-5)
    assert not found[:, :, 2].any()


def test_extremes_of_infinities(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[N, M] x) => (float[N, 1] high, float[N] low) <int64[1] axes = {1}> {
            high = ReduceMax(x, axes)
            low = ReduceMin<keepdims=0>(x, axes)
        }"""
    x = np.array(
        [[-np.inf, -np.inf], [np.inf, np.inf], [-np.inf, 3], [np.finfo("f4").min, -np.inf]], "f4"
    )
    found = legalized(tmp_path, text, {"x": x})

    np.testing.assert_array_equal(found["high"], x.max(1, keepdims=True))
    np.testing.assert_array_equal(found["low"], x.min(1))
    nothing = legalized(tmp_path, text, {"x": np.zeros((2, 0), np.float32)})
    assert nothing["high"].tolist() == [[-np.inf]] * 2
    assert nothing["low"].tolist() == [np.inf] * 2


def test_of_equal_numbers_the_first_comes_first(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 100] x, bool flag) => (float[N, 10] value, int64[N, 10] index, int64[N, 9] last)
        <int64[1] k = {10}, int64[1] nine = {9}> {
            value, index = TopK(x, k)
            last = If(flag) <
                then_branch = a () => (int64[N, 9] i) { v, i = TopK<largest=0>(x, nine) },
                else_branch = b () => (int64[N, 9] j) { w, j = TopK(x, nine) }
            >
        }"""
    x = np.random.default_rng(1).integers(0, 5, (3, 100)).astype(np.float32)
    feeds = {"x": x, "flag": np.array(True)}

    found = legalized(tmp_path, text, feeds)

    first = np.argsort(-x, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(found["index"], first)
    np.testing.assert_array_equal(found["last"], np.argsort(x, axis=1, kind="stable")[:, :9])
    assert not np.array_equal(plain(tmp_path / "model.onnx", feeds)[1], first), "now it is right"


def test_an_order_that_is_left_open_is_settled(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[100] x) => (float[60] value, int64[60] index) <int64[1] k = {60}> {
            value, index = TopK<sorted = 0>(x, k)
        }"""
    x = np.random.default_rng(1).integers(0, 5, 100).astype(np.float32)
    found = legalized(tmp_path, text, {"x": x})["index"]
    np.testing.assert_array_equal(found, np.argsort(-x, kind="stable")[:60])


def test_a_window_larger_than_the_data(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 3, 2, 2] x) => (float[N, 3, 1, 1] mean, float[N, 3, 1, 1] high) {
            mean = AveragePool<ceil_mode=1, kernel_shape=[640, 640], strides=[640, 640]>(x)
            high = MaxPool<ceil_mode=1, kernel_shape=[9, 9], pads=[1, 1, 1, 1], strides=[9, 9]>(x)
        }"""
    x = np.random.default_rng(1).standard_normal((2, 3, 2, 2)).astype(np.float32)

    found = legalized(tmp_path, text, {"x": x})

    np.testing.assert_allclose(found["mean"], x.mean((2, 3), keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(found["high"], x.max((2, 3), keepdims=True))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction sets are those of x86")
def test_it_is_so_on_older_processors_too() -> None:
    """OpenVINO generates other code for each instruction set; this one ends before AVX-512."""
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "masked or infinities"]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
