"""Models and helpers that several tests of the plugin share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from irconv_trt.backend import TrtBackend
from onnx import helper, numpy_helper

from irconv.backends.base import Artifact, EmitRequest
from irconv.passes.manager import PassManager
from irconv.plugins import load_registry
from irconv.shapes import parse_shapes

Emit: TypeAlias = "Callable[..., tuple[Artifact, Path]]"


@pytest.fixture
def cnn() -> ir.Model:
    """A small convolutional network with a dynamic batch."""
    generator = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("GlobalAveragePool", ["b"], ["c"], "pool"),
            helper.make_node("Flatten", ["c"], ["d"], "flatten"),
            helper.make_node("MatMul", ["d", "f"], ["e"], "product"),
            helper.make_node("Softmax", ["e"], ["y"], "softmax"),
        ],
        "cnn",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 10])],
        [weight("w", 16, 3, 3, 3), weight("f", 16, 10)],
    )
    return ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def legalized(backend: TrtBackend, model: ir.Model) -> ir.Model:
    registry = load_registry()
    passes = [registry.build_pass(spec) for spec in backend.legalization()]
    return PassManager(passes, strict=True).run(model).model


@pytest.fixture
def emit(tmp_path: Path) -> Emit:
    """Legalize a model and emit it into a fresh directory."""

    def run(
        model: ir.Model, backend: TrtBackend | None = None, *shapes: str
    ) -> tuple[Artifact, Path]:
        chosen = backend or TrtBackend()
        directory = tmp_path / f"artifact{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        request = EmitRequest(parse_shapes(shapes))
        return chosen.emit(legalized(chosen, model), directory, request), directory

    return run
