"""int8 from QDQ: it runs in integers, and the numbers are those of the quantized model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from irconv_openvino.sdk import load_openvino
from onnx import helper, numpy_helper

import irconv
from irconv.errors import ExitCode

NODE = helper.make_node


class Net:
    """A quantized network of which only the middle differs from test to test."""

    def __init__(self, channels: int = 4) -> None:
        self.random = np.random.default_rng(7)
        self.channels = channels
        self.nodes: list[onnx.NodeProto] = []
        self.weights = [
            numpy_helper.from_array(np.float32(0.05), "s"),
            numpy_helper.from_array(np.int8(0), "z"),
            numpy_helper.from_array(np.uint8(100), "uz"),
        ]

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(NODE(op_type, inputs, [output], output, **attributes))
        return output

    def quantized(self, value: str, *, zero: str = "z") -> str:
        self.add("QuantizeLinear", [value, "s", zero], f"{value}_q")
        return self.add("DequantizeLinear", [f"{value}_q", "s", zero], f"{value}_d")

    def conv(self, value: str, output: str, channels: int, kernel: int = 3, pads: int = 1) -> str:
        shape = (self.channels, channels, kernel, kernel)
        data = self.random.integers(-127, 128, shape).astype(np.int8)
        scales = self.random.uniform(0.001, 0.01, self.channels).astype(np.float32)
        zeros = np.zeros(self.channels, np.int8)
        arrays = {"w": data, "ws": scales, "wz": zeros}
        names = [f"{output}_{name}" for name in arrays]
        self.weights += map(numpy_helper.from_array, arrays.values(), names)
        self.add("DequantizeLinear", names, f"{output}_wd", axis=0)
        return self.add("Conv", [value, f"{output}_wd"], output, pads=[pads] * 4)

    def save(self, path: Path, size: int = 8) -> Path:
        shape = ["N", self.channels, size, size]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", 20)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return path


def concatenated() -> Net:
    """Negative numbers pass through a Concat into a convolution."""
    net = Net()
    left = net.quantized("x")
    right = net.quantized(net.conv(left, "c", 4))
    both = net.quantized(net.add("Concat", [left, right], "both", axis=1))
    net.conv(both, "y", 8)
    return net


def shared() -> Net:
    """The result of an integer convolution is read twice."""
    net = Net(8)
    result = net.conv(net.quantized("x"), "c", 8)
    net.add("Add", [result, net.add("Sigmoid", [result], "g")], "y")
    return net


def pooled() -> Net:
    """Padding is counted by a pool of numbers with a zero point."""
    net = Net()
    data = net.quantized(net.conv(net.quantized("x"), "c", 4), zero="uz")
    pads = {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}
    net.add("AveragePool", [data], "y", **pads)
    return net


def transposed() -> Net:
    """A pointwise convolution with dequantized weights reads a transpose of the image."""
    net = Net(8)
    turned = net.add("Transpose", ["x"], "t", perm=[0, 1, 3, 2])
    net.conv(turned, "y", 8, kernel=1, pads=0)
    return net


@pytest.mark.parametrize("make", [concatenated, shared, pooled, transposed])
def test_it_is_right_where_openvino_alone_is_not(make, tmp_path: Path) -> None:
    model = make().save(tmp_path / "model.onnx")
    result = irconv.compile(model, ["openvino"], tmp_path / "out")
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    directory = tmp_path / "out" / "openvino"
    manifest = json.loads((directory / "manifest.json").read_text())
    (output,) = manifest["verification"]["outputs"]
    assert output["max_abs"] <= output["tolerance"]
    assert output["max_abs"] < 1e-3, "the numbers of the quantized model, not only near them"
    quantizes = make is not transposed
    assert manifest["artifact"]["precision"] == ("int8" if quantizes else "float32")

    feeds = np.random.default_rng(3).standard_normal((2, make().channels, 8, 8)).astype(np.float32)
    openvino = load_openvino()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    plain = openvino.Core().compile_model(str(model), "CPU", settings)([feeds])[0]
    mine = irconv.run(directory, {"x": feeds})["y"]
    layers = runtime_precisions(directory / "model.xml")
    convolutions = {precision for kind, precision in layers if kind == "Convolution"}
    assert convolutions in ([{"u8"}, {"i8"}] if quantizes else [{"f32"}])
    if make is not concatenated:  # which the kernels of processors with AMX get right
        assert np.abs(plain - mine).max() > 0.01 * np.abs(mine).max(), "OpenVINO got right: unguard"


def runtime_precisions(model: Path) -> Counter[tuple[str, str]]:
    """Return how many layers of each kind run in each precision."""
    openvino = load_openvino()
    compiled = openvino.Core().compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [layer.get_rt_info() for layer in compiled.get_runtime_model().get_ordered_ops()]
    return Counter(
        (fact["layerType"].astype(str), fact["runtimePrecision"].astype(str)) for fact in facts
    )


def test_what_packed_weights_are_multiplied_by_is_not_rounded(tmp_path: Path) -> None:
    """OpenVINO left alone would round it to 8 bits, which no weights-only recipe means."""
    random = np.random.default_rng(5)
    scales = random.uniform(0.001, 0.01, 512).astype(np.float32)
    packed = random.integers(-127, 128, (256, 512)).astype(np.int8)
    graph = helper.make_graph(
        [
            NODE("DequantizeLinear", ["w", "s"], ["d"], axis=1),
            NODE("MatMul", ["x", "d"], ["y"]),
        ],
        "packed",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4, 256])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4, 512])],
        [numpy_helper.from_array(packed, "w"), numpy_helper.from_array(scales, "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    result = irconv.compile(tmp_path / "model.onnx", ["openvino"], tmp_path / "out", level=0)
    assert result.exit_code == ExitCode.OK, result.targets[0].error
    manifest = result.targets[0].manifest
    settings = manifest["artifact"]["requires"]["config"]
    assert settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == 0
    assert any("DYNAMIC_QUANTIZATION_GROUP_SIZE" in note for note in manifest["artifact"]["notes"])
    core, path = load_openvino().Core(), tmp_path / "out" / "openvino" / "model.xml"
    x = random.standard_normal((4, 256)).astype(np.float32)
    wanted = x.astype(np.float64) @ (packed * scales.astype(np.float64))
    errors = []
    for config in (settings, {"INFERENCE_PRECISION_HINT": "f32"}):
        found = core.compile_model(str(path), "CPU", config)([x])[0]
        errors.append(np.abs(found - wanted).max())
    assert errors[0] < 1e-4 < 1e-2 < errors[1]
