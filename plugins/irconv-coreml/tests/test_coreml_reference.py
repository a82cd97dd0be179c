"""The proof off macOS: faults in a saved package are found, and broken packages are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from irconv_coreml.backend import CoremlBackend
from irconv_coreml.border import from_feature, to_feature
from irconv_coreml.interface import Feature, ImageFormat, WeightDigest
from irconv_coreml.interpreter.package import open_package
from irconv_coreml.interpreter.types import TensorType, explain_mismatch
from irconv_coreml.interpreter.weights import WeightFile
from irconv_coreml.reference import ReferenceModel
from irconv_coreml.runner import CoremlRunner

from irconv.backends.base import Artifact, EmitRequest
from irconv.errors import BackendError, InputError, MismatchError
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.shapes import parse_shapes

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(3)
SIZE = 64


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


FIRST, SECOND = normal(SIZE, SIZE), normal(SIZE, SIZE)
FEEDS = {"a": normal(2, SIZE), "b": normal(2, SIZE)}
Build = Callable[..., dict[str, Any]]


def program(mb: Any, a: Any, b: Any) -> dict[str, Any]:
    hidden = mb.relu(x=mb.linear(x=a, weight=FIRST))
    return {"y": mb.sub(x=mb.linear(x=hidden, weight=SECOND), y=b)}


def without_relu(mb: Any, a: Any, b: Any) -> dict[str, Any]:
    hidden = mb.linear(x=a, weight=FIRST)
    return {"y": mb.sub(x=mb.linear(x=hidden, weight=SECOND), y=b)}


def with_inputs_swapped(mb: Any, a: Any, b: Any) -> dict[str, Any]:
    return program(mb, b, a)


def with_another_weight(mb: Any, a: Any, b: Any) -> dict[str, Any]:
    weight = FIRST.copy()
    weight[3, 5] += 0.5
    hidden = mb.relu(x=mb.linear(x=a, weight=weight))
    return {"y": mb.sub(x=mb.linear(x=hidden, weight=SECOND), y=b)}


def expected() -> Array:
    hidden: Array = np.maximum(FEEDS["a"] @ FIRST.T, 0)
    return np.subtract(hidden @ SECOND.T, FEEDS["b"])


def digests() -> dict[str, WeightDigest]:
    return {
        name: WeightDigest(hashlib.sha256(array.tobytes()).hexdigest(), "float32", array.shape)
        for name, array in (("first", FIRST), ("second", SECOND))
    }


def error(path: Path) -> float:
    outputs = ReferenceModel(path, {}).predict("", FEEDS)
    return float(np.abs(outputs["y"] - expected()).max())


def test_a_faithful_package_passes(save_program: Callable[..., Path]) -> None:
    path = save_program(program, FEEDS)
    assert error(path) < 1e-4
    report = ReferenceModel(path, digests()).weights
    assert (report.equal, report.changed) == (("first", "second"), ())


@pytest.mark.parametrize("fault", [without_relu, with_inputs_swapped, with_another_weight])
def test_a_fault_of_an_emitter_shows(save_program: Callable[..., Path], fault: Build) -> None:
    assert error(save_program(fault, FEEDS)) > 1e-2


def weight_file(path: Path) -> Path:
    return path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"


def test_four_changed_bytes_show(save_program: Callable[..., Path]) -> None:
    path = save_program(program, FEEDS)
    data = bytearray(weight_file(path).read_bytes())
    at = data.find(FIRST[7, 9].tobytes())
    data[at : at + 4] = np.float32(25).tobytes()
    weight_file(path).write_bytes(data)
    assert error(path) > 1
    with pytest.raises(MismatchError, match=r"1 of 2 weights .*'first'"):
        ReferenceModel(path, digests())


def test_a_changed_weight_of_a_dead_channel_shows_by_its_digest(
    save_program: Callable[..., Path],
) -> None:
    dead = SECOND.copy()
    dead[:, 3] = 0

    def build(weight: Array) -> Build:
        def built(mb: Any, a: Any, b: Any) -> dict[str, Any]:
            hidden = mb.linear(x=a, weight=weight)
            return {"y": mb.sub(x=mb.linear(x=hidden, weight=dead), y=b)}

        return built

    changed = FIRST.copy()
    changed[3, 5] += 0.5
    good = ReferenceModel(save_program(build(FIRST), FEEDS), {}).predict("", FEEDS)
    path = save_program(build(changed), FEEDS)
    np.testing.assert_array_equal(ReferenceModel(path, {}).predict("", FEEDS)["y"], good["y"])
    first = {"first": digests()["first"]}
    with pytest.raises(MismatchError, match="first"):
        ReferenceModel(path, first)


def test_a_wrong_declared_type_is_an_error(save_program: Callable[..., Path]) -> None:
    path = save_program(program, FEEDS)
    package = open_package(path)
    relu = next(o for o in package.functions["main"].block.operations if o.kind == "relu")
    value = np.zeros((2, SIZE), np.float32)
    assert explain_mismatch(value, relu.outputs[0].type) == ""
    assert explain_mismatch(value[:, :-1], relu.outputs[0].type)
    assert explain_mismatch(value.astype(np.float16), relu.outputs[0].type)
    specification = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    data = specification.read_bytes()
    shape = bytes([0x1A, 4, 0x0A, 2, 0x08, 2, 0x1A, 4, 0x0A, 2, 0x08, SIZE])
    place = data.find(shape, data.find(b"relu"))
    assert place > 0
    wrong = data[:place] + shape[:5] + bytes([3]) + shape[6:] + data[place + len(shape) :]
    specification.write_bytes(wrong)
    with pytest.raises(BackendError, match=r"declared float32\[3,64\].*float32\[2,64\]"):
        error(path)


def truncate_weights(path: Path) -> None:
    file = weight_file(path)
    file.write_bytes(file.read_bytes()[:-1000])


def remove_weights(path: Path) -> None:
    weight_file(path).unlink()


def empty_weights(path: Path) -> None:
    weight_file(path).write_bytes(b"")


def break_record(path: Path) -> None:
    data = bytearray(weight_file(path).read_bytes())
    data[64:68] = b"\0\0\0\0"
    weight_file(path).write_bytes(data)


def change_stored_dtype(path: Path) -> None:
    data = bytearray(weight_file(path).read_bytes())
    data[68:72] = (14).to_bytes(4, "little")
    weight_file(path).write_bytes(data)


def change_version(path: Path) -> None:
    data = bytearray(weight_file(path).read_bytes())
    data[4:8] = (9).to_bytes(4, "little")
    weight_file(path).write_bytes(data)


def change_length(path: Path) -> None:
    data = bytearray(weight_file(path).read_bytes())
    data[72:80] = (4).to_bytes(8, "little")
    weight_file(path).write_bytes(data)


def garble_specification(path: Path) -> None:
    (path / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(b"\xff" * 200)


def truncate_specification(path: Path) -> None:
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    file.write_bytes(file.read_bytes()[:-40])


def empty_specification(path: Path) -> None:
    (path / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(b"")


def remove_manifest(path: Path) -> None:
    (path / "Manifest.json").unlink()


def point_outside(path: Path) -> None:
    manifest = json.loads((path / "Manifest.json").read_bytes())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "../../../etc/passwd"
    (path / "Manifest.json").write_text(json.dumps(manifest))


FAULTS = {
    truncate_weights: "cut off",
    remove_weights: "cannot be read",
    empty_weights: "cannot be read",
    break_record: "no blob at offset 64",
    change_stored_dtype: r"holds int32 at offset 64.*declares float32\[64,64\]",
    change_version: "version 9",
    change_length: "holds 4 bytes",
    garble_specification: "no readable specification",
    truncate_specification: "no readable specification",
    empty_specification: "no ML Program",
    remove_manifest: r"no readable Manifest\.json",
    point_outside: "outside of itself",
}


def test_broken_packages_are_refused(save_program: Callable[..., Path], tmp_path: Path) -> None:
    path = save_program(program, FEEDS)
    for number, (spoil, message) in enumerate(FAULTS.items()):
        copy = tmp_path / f"broken{number}.mlpackage"
        shutil.copytree(path, copy)
        spoil(copy)
        with pytest.raises(InputError, match=message):
            ReferenceModel(copy, {})


def test_weights_are_mapped(save_program: Callable[..., Path]) -> None:
    file = weight_file(save_program(program, FEEDS))
    blob = WeightFile(file).read(64, TensorType("float32", (SIZE, SIZE)))
    assert not blob.flags.owndata
    assert not blob.flags.writeable
    np.testing.assert_array_equal(blob, FIRST)


def emit(tmp_path: Path, text: str, shapes: str = "", **options: Any) -> tuple[Path, Artifact]:
    registry = load_registry()
    backend = CoremlBackend(**options)
    model = ir.from_onnx_text(text)
    manager = PassManager(list(map(registry.build_pass, backend.legalization())))
    manager.run(model)
    request = EmitRequest(shapes=parse_shapes([shapes]) if shapes else {})
    return tmp_path, backend.emit(model, tmp_path, request)


DYNAMIC = """
<ir_version: 10, opset_import: ["" : 20]>
g (float[N, 3] x, int64[N] k) => (int64[N] n, float s) {
    axes = Constant <value_ints = [0, 1]> ()
    s = ReduceSum <keepdims = 0> (x, axes)
    n = Add(k, k)
}
"""


def test_runner_speaks_the_sources_language(tmp_path: Path) -> None:
    directory, artifact = emit(tmp_path, DYNAMIC, "N=2..4@2")
    x, k = normal(3, 3), np.array([1, -2, 3], np.int64)
    with CoremlRunner(directory, artifact) as runner:
        assert runner.level == "reference"
        assert runner.describe()["runtime"] == "reference interpreter of ML Programs"
        outputs = runner.run({"x": x, "k": k})
        assert list(outputs) == ["n", "s"]
        n, s = (np.asarray(outputs[name]) for name in ("n", "s"))
        assert n.dtype == np.int64
        assert n.tolist() == [2, -4, 6]
        assert s.dtype == np.float32
        assert s.shape == ()
        assert s == pytest.approx(x.sum(), rel=1e-6)
        with pytest.raises(InputError, match=r"x.* has shape \[5, 3\], and it takes \[2\.\.4, 3\]"):
            runner.run({"x": normal(5, 3), "k": np.zeros(5, np.int64)})
        with pytest.raises(InputError, match="beyond the range of int32"):
            runner.run({"x": x, "k": k << 40})
        with pytest.raises(InputError, match="must be a tensor"):
            runner.run({"x": None, "k": k})
    with pytest.raises(BackendError, match="closed"):
        runner.run({"x": x, "k": k})


def feature(dtype: str, coreml: str, image: ImageFormat | None = None) -> Feature:
    return Feature("v", "v", dtype, coreml, (2,), (2,), image)


def test_values_across_the_border() -> None:
    assert to_feature(feature("bool", "int32"), np.array([True, False])).tolist() == [1, 0]
    assert from_feature(feature("bool", "int32"), np.array([1, 0], np.int32)).dtype == np.bool_
    with pytest.raises(BackendError, match="no bool"):
        from_feature(feature("bool", "int32"), np.array([1, 2], np.int32))
    with pytest.raises(BackendError, match="no uint8"):
        from_feature(feature("uint8", "int32"), np.array([1, 256], np.int32))
    with pytest.raises(InputError, match="beyond the range of float16"):
        to_feature(feature("float32", "float16"), np.array([1, 7e4], np.float32))
    infinite = to_feature(feature("float32", "float16"), np.array([1, np.inf], np.float32))
    assert infinite.tolist() == [1, np.inf]
    image = ImageFormat("RGB", 0.5, (1.0, 2.0, 3.0))
    pixels = to_feature(feature("float32", "float32", image), np.ones((1, 3, 1, 1), np.float32))
    assert pixels.ravel().tolist() == [0, -2, -4]
