"""A graph of 5,000 nodes, of the pieces that exporters leave for an optimizer to find.

Every block is a convolution with a batch norm and an activation, then: an identity, a cast to the
same type, a product between two transposes, a reshape to a shape that is computed, the reshape
back, two equal subexpressions and a residual sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from graphs.check import outputs_of
from irconv.runtime.values import save_samples

__all__ = ["write"]

_CHANNELS, _SIDE, _NODES = 16, 8, 5000
_PERMUTE, _BACK = (0, 2, 3, 1), (0, 3, 1, 2)


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(0)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{name}", **attributes))
        return name

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def constant(self, values: float | Sequence[int]) -> str:
        dtype = np.float32 if isinstance(values, float) else np.int64
        return self.add("Constant", value=numpy_helper.from_array(np.asarray(values, dtype)))

    def norm(self) -> list[str]:
        draw = self.random.random
        scale, shift, mean, variance = (draw(_CHANNELS) for _ in range(4))
        return [self.weight(part) for part in (scale + 0.5, shift - 0.5, mean, variance + 0.5)]


def write(name: str, path: Path) -> None:
    """Write the graph, whose batch may vary, and two samples.

    Raises:
        ValueError: If its output says too little.
    """
    build = _Builder()
    value = "x"
    block = _block(build, value)
    value, size = block, len(build.nodes)
    while len(build.nodes) + size < _NODES:
        value = _block(build, value)
    while len(build.nodes) < _NODES - 1:
        value = build.add("Identity", value)
    build.nodes.append(helper.make_node("Tanh", [value], ["y"], name="last"))
    assert len(build.nodes) == _NODES, name
    ends = [
        helper.make_tensor_value_info(end, 1, ["batch", _CHANNELS, _SIDE, _SIDE]) for end in "xy"
    ]
    graph = helper.make_graph(build.nodes, name, ends[:1], ends[1:], build.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    feeds = [
        {"x": build.random.standard_normal((batch, _CHANNELS, _SIDE, _SIDE)).astype(np.float32)}
        for batch in (1, 3)
    ]
    for feed in feeds:
        (output,) = outputs_of(path, feed)
        if not 0.05 < output.std() < 0.95:
            raise ValueError(f"the output spreads by {output.std()}")
    save_samples(path.with_suffix(".npz"), feeds)


def _block(build: _Builder, x: str) -> str:
    fan_in = 9 * _CHANNELS
    kernel = build.random.standard_normal((_CHANNELS, _CHANNELS, 3, 3)) / fan_in**0.5
    bias = build.random.standard_normal(_CHANNELS) * 0.1
    y = build.add("Conv", x, build.weight(kernel), build.weight(bias), pads=[1, 1, 1, 1])
    y = build.add("Relu", build.add("BatchNormalization", y, *build.norm()))
    y = build.add("Cast", build.add("Identity", y), to=onnx.TensorProto.FLOAT)
    channels_last = build.add("Transpose", y, perm=_PERMUTE)
    y = build.add("Mul", channels_last, build.constant(0.5))
    y = build.add("Transpose", y, perm=_BACK)
    batch = build.add("Gather", build.add("Shape", y), build.constant(0), axis=0)
    batch = build.add("Unsqueeze", batch, build.constant([0]))
    rest = build.constant([_CHANNELS * _SIDE * _SIDE])
    y = build.add("Reshape", y, build.add("Concat", batch, rest, axis=0))
    y = build.add("Reshape", y, build.constant([-1, _CHANNELS, _SIDE, _SIDE]))
    twice = build.add("Add", build.add("Sigmoid", y), build.add("Sigmoid", y))
    y = build.add("Sub", y, build.add("Mul", twice, build.constant(0.5)))
    return build.add("Add", build.add("Mul", x, build.constant(0.5)), y)
