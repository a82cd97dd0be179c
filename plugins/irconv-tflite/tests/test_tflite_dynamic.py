"""What the ONNX suite leaves out: sizes that only the run knows, and control flow around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from irconv_tflite.backend import TfliteBackend

from irconv.backends.base import EmitRequest
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline
from irconv.plugins import load_registry

_RANDOM = np.random.default_rng(3)


def _floats(*shape: int) -> np.ndarray:
    return _RANDOM.standard_normal(shape).astype(np.float32)


_CASES = {
    "loop_collects_rows_of_a_dynamic_size": (
        """(float[N, 4] x, int64 steps) => (float[N, 4] last, float[T, N, 4] all)
        <bool go = {1}> {
            last, all = Loop (steps, go, x) <body = step (int64 i, bool c, float[N, 4] h)
                => (bool d, float[N, 4] g, float[N, 4] row) {
                d = Identity (c)
                g = Tanh (h)
                row = Add (g, x)
            }>
        }""",
        {"x": _floats(3, 4), "steps": np.int64(5)},
    ),
    "loop_ends_by_its_condition": (
        """(float[2] x) => (float[2] last, float[T, 2] all)
        <int64 most = {9}, bool go = {1}, float limit = {20.0}, float two = {2.0}> {
            last, all = Loop (most, go, x) <body = step (int64 i, bool c, float[2] h)
                => (bool d, float[2] g, float[2] row) {
                g = Mul (h, two)
                m = ReduceMax <keepdims = 0> (g)
                d = Less (m, limit)
                row = Identity (h)
            }>
        }""",
        {"x": np.array([1, 1.5], np.float32)},
    ),
    "loop_without_a_bound_collects": (
        """(float[2] x) => (float[2] last, float[T, 2] all)
        <bool go = {1}, float limit = {20.0}, float two = {2.0}> {
            last, all = Loop ( , go, x) <body = step (int64 i, bool c, float[2] h)
                => (bool d, float[2] g, float[2] row) {
                g = Mul (h, two)
                m = ReduceMax <keepdims = 0> (g)
                d = Less (m, limit)
                row = Identity (h)
            }>
        }""",
        {"x": np.array([1, 1.5], np.float32)},
    ),
    "loop_collects_scalars": (
        """(float start, float limit, float pace) => (float last, float[T] all)
        <bool go = {1}> {
            span = Sub (limit, start)
            parts = Div (span, pace)
            steps = Cast <to = 7> (parts)
            last, all = Loop (steps, go, start) <body = step (int64 i, bool c, float h)
                => (bool d, float g, float row) {
                d = Identity (c)
                g = Add (h, pace)
                row = Identity (h)
            }>
        }""",
        {"start": np.float32(1), "limit": np.float32(9), "pace": np.float32(2)},
    ),
    "loop_without_a_bound_collects_scalars": (
        """(float x) => (float last, float[T] all)
        <bool go = {1}, float limit = {20.0}, float two = {2.0}> {
            last, all = Loop ( , go, x) <body = step (int64 i, bool c, float h)
                => (bool d, float g, float row) {
                g = Mul (h, two)
                d = Less (g, limit)
                row = Identity (h)
            }>
        }""",
        {"x": np.float32(1.5)},
    ),
    "branches_see_outer_values": (
        """(float[2, 3] x, bool flag) => (float[2, 3] y) {
            a = Relu (x)
            y = If (flag) <
                then_branch = yes () => (float[2, 3] b) { b = Identity (a) },
                else_branch = no () => (float[2, 3] e) {
                    e = If (flag) <
                        then_branch = deep () => (float[2, 3] f) { f = Neg (x) },
                        else_branch = deeper () => (float[2, 3] g) { g = Sub (a, x) }
                    >
                }
            >
        }""",
        {"x": _floats(2, 3), "flag": np.bool_(False)},
    ),
    "average_leaves_padding_out_of_a_dynamic_image": (
        """(float[N, 2, H, W] x) => (float[N, 2, P, Q] y) {
            y = AveragePool <kernel_shape = [3, 2], pads = [1, 1, 1, 0]> (x)
        }""",
        {"x": _floats(2, 2, 5, 6)},
    ),
    "resize_follows_a_dynamic_image": (
        """(float[N, 2, H, W] x) => (float[N, 2, P, Q] y, float[N, 2, R, S] z)
        <float[4] scales = {1.0, 1.0, 2.0, 3.0}> {
            y = Resize <mode = "linear"> (x, , scales)
            z = Resize <nearest_mode = "floor", coordinate_transformation_mode = "asymmetric">
                (x, , scales)
        }""",
        {"x": _floats(1, 2, 4, 5)},
    ),
    "pixels_are_shuffled_in_a_dynamic_image": (
        """(float[N, 8, H, W] x, float[8, 8, 1, 1] w) => (float[N, 2, P, Q] y) {
            image = Conv (x, w)
            y = DepthToSpace <blocksize = 2, mode = "CRD"> (image)
        }""",
        {"x": _floats(1, 8, 3, 2), "w": _floats(8, 8, 1, 1)},
    ),
    "scatter_into_a_dynamic_tensor": (
        """(float[N, 3] x, int64[2, 1] places, float[2, 3] rows) => (float[N, 3] y) {
            y = ScatterND (x, places, rows)
        }""",
        {"x": _floats(5, 3), "places": np.array([[-1], [1]]), "rows": _floats(2, 3)},
    ),
    "unique_elements_and_their_places": (
        """(int64[N] x) => (int64[U] y, int64[U] first, int64[N] back, int64[U] counts) {
            y, first, back, counts = Unique (x)
        }""",
        {"x": np.array([5, -2, 5, 7, -2, 5])},
    ),
    "largest_of_a_dynamic_number": (
        """(float[N, 4] x, int64[1] k) => (float[P, 4] values, int64[P, 4] places) {
            values, places = TopK <axis = 0, largest = 0> (x, k)
        }""",
        {"x": _floats(6, 4), "k": np.array([3])},
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_it_computes_what_onnxruntime_does(name: str, tmp_path: Path) -> None:
    body, feeds = _CASES[name]
    text = f'<ir_version: 10, opset_import: ["" : 21]> example {body}'
    model = ir.from_onnx_text(text)
    session = onnxruntime.InferenceSession(onnx.parser.parse_model(text).SerializeToString())
    arrays = {key: np.asarray(value) for key, value in feeds.items()}
    expected = session.run(None, arrays)

    backend = TfliteBackend()
    passes = build_pipeline(load_registry(), backend.legalization())
    context = PassContext(abilities=backend.abilities())
    legalized = PassManager(passes, strict=True).run(model, context).model
    assert backend.check(legalized, {}) == []
    artifact = backend.emit(legalized, tmp_path, EmitRequest())
    with backend.runner(tmp_path, artifact) as runner:
        outputs = runner.run(arrays)
    for value, wanted in zip(legalized.graph.outputs, expected, strict=True):
        found = outputs[value.name or ""]
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
