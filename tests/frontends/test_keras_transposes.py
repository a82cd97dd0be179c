"""Networks of ``keras.applications``, channels last, come out without a trail of transposes.

After the import and ``-O2`` one may be left, at the border: it brings the image to channels first
and stands before every convolution. The heads take means over all places, so that nothing has to
be brought back.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx_ir as ir
import pytest

from irconv.graph.reading.load import load_model
from irconv.graph.walk import all_nodes
from irconv.passes.base import PassContext
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import MAX_ROUNDS, resolve_pipeline
from irconv.plugins import load_registry
from irconv.worker import Worker, WorkerLimits

NAMES = ("MobileNetV2", "MobileNetV3Small", "ResNet50", "EfficientNetB0", "DenseNet121")
TRAIL = """<ir_version: 9, opset_import: ["": 18]>
g (float[1, 8, 8, 3] x, float[4, 3, 1, 1] w, float[4, 4, 1, 1] v) => (float[1, 4, 8, 8] y) {
    t = Transpose <perm = [0, 3, 1, 2]> (x)
    a = Conv (t, w)
    l = Transpose <perm = [0, 2, 3, 1]> (a)
    m = Softmax <axis = 2> (l)
    f = Transpose <perm = [0, 3, 1, 2]> (m)
    y = Conv (f, v)
}"""


def optimized(model: ir.Model) -> ir.Model:
    pipeline = resolve_pipeline(load_registry(), 2)
    return PassManager(pipeline, max_rounds=MAX_ROUNDS).run(model, PassContext()).model


def transposes(model: ir.Model) -> tuple[int, int]:
    """Return how many transposes there are, and how many of them stand after a convolution."""
    after: set[ir.Value] = set()
    count = inside = 0
    for node in all_nodes(model):
        follows = any(value in after for value in node.inputs)
        if node.op_type == "Transpose":
            count += 1
            inside += follows
        if follows or node.op_type == "Conv":
            after.update(node.outputs)
    return count, inside


@pytest.fixture(scope="module")
def applications(write_models: Callable[[str], Path]) -> Path:
    return write_models("keras_cnns.py")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    service = "irconv.frontends.tensorflow.service:TensorflowService"
    with Worker(service, limits=WorkerLimits(seconds=300), label="tensorflow") as started:
        yield started


def test_a_trail_would_show() -> None:
    trail = ir.from_onnx_text(TRAIL)
    assert transposes(trail) == (3, 2)
    assert transposes(optimized(trail)) == (1, 0)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tensorflow", "keras", "tf2onnx"))),
    reason="TensorFlow, Keras or tf2onnx is not installed",
)
@pytest.mark.parametrize("name", NAMES)
def test_only_the_border_is_transposed(
    name: str, worker: Worker, applications: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    worker.call("load_keras", path=str(applications / f"{name}.keras"), inputs=[], trust=False)
    worker.call("export", path=str(path), opset=18)
    assert transposes(optimized(load_model(path).model)) == (1, 0)
