"""What a package is made of: deployment targets, shapes, functions, images, small weights."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_coreml.backend import CoremlBackend
from irconv_coreml.interpreter.package import Package, open_package
from onnx import numpy_helper

from irconv.backends.base import EmitRequest
from irconv.errors import InputError, MismatchError
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.runtime.base import Runner
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.shapes import parse_shapes

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)
SHAPES = parse_shapes(["N=1..4@2"])
PRODUCT = "g (float[N, 64] x) => (float[N, 48] y) { p = MatMul (x, w) y = Add (p, b) }"
WEIGHTS = {"w": RNG.standard_normal((64, 48)), "b": RNG.standard_normal(48)}


def parse(body: str, **weights: Array) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {body}')
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()
    )
    return model


def write(
    model: onnx.ModelProto, folder: Path, **options: Any
) -> tuple[Package, Callable[[], Runner]]:
    """Legalize and write a model; return what was written and what opens it."""
    folder.mkdir(exist_ok=True)
    backend = CoremlBackend(**options)
    passes = map(load_registry().build_pass, backend.legalization())
    legal = PassManager(list(passes)).run(ir.from_proto(model)).model
    assert backend.check(legal, SHAPES) == []
    artifact = backend.emit(legal, folder, EmitRequest(SHAPES))
    assert [path.name for path in folder.iterdir()] == [artifact.main]
    return open_package(folder / artifact.main), lambda: backend.runner(folder, artifact)


def emit(model: onnx.ModelProto, folder: Path, **options: Any) -> tuple[Package, Runner]:
    """Write a model; return what was written and a runner of it."""
    package, open_ = write(model, folder, **options)
    return package, open_()


def kinds(package: Package, function: str = "main") -> list[str]:
    return [operation.kind for operation in package.functions[function].block.operations]


def weight_file(folder: Path) -> Path:
    return folder / "model.mlpackage" / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"


@pytest.mark.parametrize(
    ("target", "version"), [("iOS15", 6), ("iOS16", 7), ("iOS17", 8), ("iOS18", 9), ("iOS26", 10)]
)
def test_deployment_targets(target: str, version: int, tmp_path: Path) -> None:
    package, runner = emit(parse(PRODUCT, **WEIGHTS), tmp_path, target=target)

    assert package.specification_version == version
    x = RNG.standard_normal((4, 64)).astype(np.float32)
    np.testing.assert_allclose(
        runner.run({"x": x})["y"], x @ WEIGHTS["w"] + WEIGHTS["b"], rtol=1e-4, atol=1e-4
    )


def test_half_precision_is_stored_and_computed_as_such(tmp_path: Path) -> None:
    package, runner = emit(parse(PRODUCT, **WEIGHTS), tmp_path, precision="f16")

    (product,) = [o for o in package.functions["main"].block.operations if o.kind == "linear"]
    assert product.outputs[0].type.dtype == "float16"
    assert weight_file(tmp_path).stat().st_size < 2 * 64 * 48 + 1024
    x = RNG.standard_normal((2, 64)).astype(np.float32)
    y = np.asarray(runner.run({"x": x})["y"])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x @ WEIGHTS["w"] + WEIGHTS["b"], atol=0.05)


def test_enumerated_shapes_are_the_only_ones(tmp_path: Path) -> None:
    package, runner = emit(parse(PRODUCT, **WEIGHTS), tmp_path, shapes="enumerated")

    assert package.signatures["main"].inputs["x"].enumerated == ((2, 64), (1, 64), (4, 64))
    for size in (1, 2, 4):
        assert np.shape(runner.run({"x": np.ones((size, 64), np.float32)})["y"]) == (size, 48)
    with pytest.raises(InputError, match=r"\[3, 64\].*takes the shapes"):
        runner.run({"x": np.ones((3, 64), np.float32)})


def test_a_function_for_each_size_over_the_same_weights(tmp_path: Path) -> None:
    model = parse(PRODUCT, **WEIGHTS)
    emit(model, tmp_path / "one", target="iOS18")
    package, runner = emit(model, tmp_path / "several", target="iOS18", shapes="functions")

    assert set(package.functions) == {"main", "minimum", "maximum"}
    assert package.default_function == "main"
    sizes = [weight_file(tmp_path / name).stat().st_size for name in ("one", "several")]
    assert sizes[0] == sizes[1]
    x = RNG.standard_normal((4, 64)).astype(np.float32)
    expected = x @ WEIGHTS["w"] + WEIGHTS["b"]
    for size in (1, 2, 4):
        y = runner.run({"x": x[:size]})["y"]
        np.testing.assert_allclose(y, expected[:size], rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match=r"no function .* x\[3, 64\].*x\[2, 64\]"):
        runner.run({"x": x[:3]})


@pytest.mark.parametrize(("channels", "color"), [(3, "BGR"), (1, "RGB")])
def test_images_are_pixels_for_core_ml(channels: int, color: str, tmp_path: Path) -> None:
    shape = f"float[1, {channels}, 4, 5]"
    model = parse(f"g ({shape} x) => ({shape} y) {{ y = Neg (x) }}")
    bias = (-1.0, 0.5, 2.0)[:channels]
    package, runner = emit(model, tmp_path, image=("x",), color=color, scale=1 / 64, bias=bias)

    feature = package.signatures["main"].inputs["x"]
    assert (feature.is_image, feature.explain_refusal((1, channels, 4, 5))) == (True, "")
    pixels = RNG.integers(0, 256, (1, channels, 4, 5))
    x = (pixels / 64 + np.reshape(bias, (-1, 1, 1))).astype(np.float32)
    np.testing.assert_allclose(runner.run({"x": x})["y"], -x, atol=1e-5)


QUANTIZED = """
    g (float[N, 32] x) => (float[N, 32] y) <
        float s = {0.05}, int8 z = {3}, float t = {0.02}, uint8 u = {7}, float[32] c, int8[32] d
    > {
        a = QuantizeLinear (x, s, z)
        b = DequantizeLinear (a, s, z)
        e = QuantizeLinear <axis = 0> (w, c, d)
        f = DequantizeLinear <axis = 0> (e, c, d)
        g = MatMul (b, f)
        h = QuantizeLinear (g, t, u)
        y = DequantizeLinear (h, t, u)
    }"""


def quantized() -> onnx.ModelProto:
    model = parse(QUANTIZED, w=RNG.standard_normal((32, 32)) * 0.3)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(RNG.uniform(0.005, 0.01, 32).astype(np.float32), "c"),
            numpy_helper.from_array(np.zeros(32, np.int8), "d"),
        ]
    )
    return model


@pytest.mark.parametrize(
    ("target", "native"),
    [("iOS16", {"constexpr_affine_dequantize"}),
     ("iOS17", {"constexpr_affine_dequantize", "quantize", "dequantize"})],
)  # fmt: skip
def test_quantized_activations_and_weights(target: str, native: set[str], tmp_path: Path) -> None:
    model = quantized()
    package, runner = emit(model, tmp_path, target=target)
    onnx.save(model, tmp_path.with_suffix(".onnx"))
    x = RNG.standard_normal((3, 32)).astype(np.float32) * 2
    with OnnxRuntimeRunner(tmp_path.with_suffix(".onnx")) as source:
        expected = np.asarray(source.run({"x": x})["y"])

    y = np.asarray(runner.run({"x": x})["y"])

    special = {"constexpr_affine_dequantize", "quantize", "dequantize"}
    assert special & set(kinds(package)) == native
    assert np.abs(y - expected).max() <= 0.0201
    assert (y == expected).mean() > 0.9


SMALL = [
    {"weights": "none"},
    {"weights": "none", "precision": "f16"},
    {"weights": "int8", "target": "iOS16"},
    {"weights": "int8", "precision": "f16"},
    {"weights": "int4", "target": "iOS18"},
    {"weights": "int4", "target": "iOS18", "precision": "f16"},
    {"weights": "palette4"},
    {"weights": "palette6", "target": "iOS18"},
    {"weights": "palette8", "precision": "f16"},
]
LEAST_BYTES = 32 * 4
"""A blob of fewer may hold a table of 16 values, which has no digest of its own."""


def blobs(data: bytes) -> list[tuple[int, int]]:
    """Return start and length of each blob of a weight file."""
    found, offset = [], 64
    for _ in range(struct.unpack_from("<I", data)[0]):
        mark, _, length, start = struct.unpack_from("<IIQQ", data, offset)
        assert mark == 0xDEADBEEF
        found.append((start, length))
        offset = (start + length + 63) // 64 * 64
    return found


@pytest.mark.parametrize("options", SMALL, ids=lambda options: ",".join(options.values()))
def test_a_changed_bit_of_any_weight_is_found(options: dict[str, str], tmp_path: Path) -> None:
    _, open_ = write(parse(PRODUCT, **WEIGHTS), tmp_path, **options)
    file = weight_file(tmp_path)
    whole = file.read_bytes()
    large = [(start, size) for start, size in blobs(whole) if size >= LEAST_BYTES]

    open_().close()
    assert large
    for start, size in large:
        for place in (start, start + size // 2, start + size - 1):
            changed = bytearray(whole)
            changed[place] ^= 1
            file.write_bytes(changed)
            with pytest.raises(MismatchError, match=r"1 of . weights are not in the package"):
                open_()
