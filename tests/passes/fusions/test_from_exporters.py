"""Every exporter's form of a function becomes one and the same operator."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest

from irconv.frontends.base import ImportRequest
from irconv.frontends.tensorflow import TensorflowFrontend
from irconv.passes.catalog import PASSES
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import default_pipeline
from irconv.spec import parse_spec
from irconv.worker import WorkerLimits

NEWEST = "convert-opset{to=24}"
FUSIONS = (
    "fuse-instance-normalization", "fuse-group-normalization", "fuse-layer-normalization",
    "fuse-rms-normalization", "fuse-gelu", "fuse-swish", "fuse-softplus", "fuse-mish",
    "fuse-hard-swish", "fuse-hard-sigmoid", "fuse-softmax",
)  # fmt: skip
OPERATORS = {
    "layer_norm": "LayerNormalization", "rms_norm": "RMSNormalization",
    "group_norm": "GroupNormalization", "gelu": "Gelu", "silu": "Swish", "quick_gelu": "Swish",
    "mish": "Mish", "hard_swish": "HardSwish", "hard_sigmoid": "HardSigmoid",
    "softmax": "Softmax", "log_softmax": "LogSoftmax",
}  # fmt: skip
TORCH = (
    "layer_norm_old", "layer_norm_two_axes_old", "layer_norm_plain_old", "rms_norm",
    "rms_norm_half", "rms_norm_plus_one", "group_norm", "gelu", "gelu_tanh", "gelu_new",
    "gelu_fast", "silu", "quick_gelu", "mish", "hard_swish", "hard_sigmoid", "softmax",
    "log_softmax",
)  # fmt: skip
KERAS = (
    "layer_norm", "layer_norm_plain", "rms_norm", "gelu", "gelu_tanh", "silu", "mish",
    "hard_swish", "hard_sigmoid",
)  # fmt: skip

pytestmark = pytest.mark.slow


def operator_of(name: str) -> str:
    return max((key for key in OPERATORS if name.startswith(key)), key=len)


def check(model: ir.Model, name: str, kit: SimpleNamespace) -> None:
    before = ir.from_proto(ir.to_proto(model))
    clean_up = default_pipeline(2)
    specs = [parse_spec(text) for text in (NEWEST, *clean_up, *FUSIONS, *clean_up[-3:])]
    known = {cls.name: cls for cls in PASSES}
    unique = {spec.name: spec for spec in specs}.values()
    passes = [known[spec.name].from_options(spec.options) for spec in unique]
    result = PassManager(passes, strict=True, max_rounds=4).run(model)
    nodes = [node for node in result.model.graph if node.op_type != "Constant"]
    assert [node.op_type for node in nodes] == [OPERATORS[operator_of(name)]]
    assert nodes[0].domain == ""
    feeds = kit.seeded_feeds(before)
    (was,), (now,) = kit.ort_outputs(before, feeds), kit.ort_outputs(result.model, feeds)
    assert (was.dtype, was.shape) == (now.dtype, now.shape)
    tolerance = 2e-3 if was.dtype == np.float16 else 2e-6
    np.testing.assert_allclose(now, was, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str, exporter: str, torch_exports: Path, kit: SimpleNamespace) -> None:
    check(ir.load(torch_exports / f"{name}.{exporter}.onnx"), name, kit)


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str, keras_exports: Path, tmp_path: Path, kit: SimpleNamespace) -> None:
    request = ImportRequest(directory=tmp_path, limits=WorkerLimits(seconds=240))
    imported = TensorflowFrontend().load(str(keras_exports / name), request)
    try:
        check(imported.model, name, kit)
    finally:
        imported.close()
