from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.serialize import save_model
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.ort_values import from_ort, to_ort
from irconv.runtime.packing import bit_width, from_bytes, to_bytes

NARROW = {
    "int4": [-8, -1, 0, 7, 3],
    "uint4": [0, 15, 8, 1, 2],
    "int2": [-2, -1, 0, 1, 1],
    "uint2": [0, 3, 2, 1, 0],
    "float4_e2m1fn": [0, 0.5, -6, 1.5, 3],
}
WIDE = {
    "bfloat16": [0, 1.5, -3, 2.0**100, -(2.0**-30)],
    "float8_e4m3fn": [0, 1.5, -3, 448, -0.25],
    "float8_e5m2": [0, 1.5, -3, 57344, -0.25],
}


@pytest.mark.parametrize("name", [*NARROW, *WIDE])
def test_bits_survive_the_way_to_onnx_runtime_and_back(name: str) -> None:
    array = np.array((NARROW | WIDE)[name]).astype(getattr(ml_dtypes, name))

    result = from_ort(to_ort(array))

    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result.astype(np.float32), array.astype(np.float32))


@pytest.mark.parametrize("name", NARROW)
def test_packed_layout_is_that_of_onnx(name: str) -> None:
    array = np.array(NARROW[name]).astype(getattr(ml_dtypes, name))
    packed = to_bytes(array)

    assert packed.nbytes == -(-array.size * bit_width(name) // 8)
    assert packed.tobytes() == ir.tensor(array).tobytes()
    restored = from_bytes(packed, name, array.shape)
    np.testing.assert_array_equal(restored.astype(np.float32), array.astype(np.float32))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    for dtype in (np.dtype(ml_dtypes.int4), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)):
        assert from_ort(to_ort(np.ones(shape, dtype))).shape == shape


def _run(directory: Path, text: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    model = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    save_model(model, directory / "model.onnx")
    with OnnxRuntimeRunner(directory / "model.onnx") as runner:
        return runner.run(feeds)


def test_a_bfloat16_model_runs(tmp_path: Path) -> None:
    x = np.array([1, -2, 3.5]).astype(ml_dtypes.bfloat16)

    outputs = _run(tmp_path, "g (bfloat16[3] x) => (bfloat16[3] y) { y = Identity(x) }", {"x": x})

    assert outputs["y"].dtype == x.dtype
    assert outputs["y"].tolist() == x.tolist()


def test_a_string_model_runs(tmp_path: Path) -> None:
    x = np.array(["a", "\u00e9"], dtype=object)

    outputs = _run(tmp_path, "g (string[2] x) => (string[2] y) { y = Identity(x) }", {"x": x})

    assert outputs["y"].tolist() == ["a", "\u00e9"]


def test_a_sequence_comes_back_as_a_list(tmp_path: Path) -> None:
    x = np.arange(4, dtype=np.float32)

    outputs = _run(
        tmp_path, "g (float[4] x) => (seq(float[N]) y) { y = SequenceConstruct(x, x) }", {"x": x}
    )

    assert [item.tolist() for item in outputs["y"]] == [[0, 1, 2, 3]] * 2
