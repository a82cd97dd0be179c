"""Unrolled steps of LSTM and GRU cells, as exporters write them, become one operator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.frontends.base import ImportRequest
from irconv.frontends.tensorflow import TensorflowFrontend
from irconv.passes.catalog import PASSES
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import default_pipeline
from irconv.spec import parse_spec
from irconv.worker import WorkerLimits

FORMS = ("time", "batch", "zero", "reversed", "tail", "last", "layers", "plain")
KERAS = ("LSTM_last", "LSTM_all", "LSTM_backwards", "GRU_last", "GRU_all", "GRU_before")
ALLOWED = {"LSTM", "GRU", "Squeeze", "Unsqueeze", "Transpose", "Gather", "Constant"}

pytestmark = pytest.mark.slow


def check(model: ir.Model, name: str, kit: SimpleNamespace) -> ir.Node:
    """Optimize a model at -O3; return its recurrent operator, the last where there are two."""
    before = ir.from_proto(ir.to_proto(model))
    known = {cls.name: cls for cls in PASSES}
    specs = [parse_spec(text) for text in default_pipeline(3)]
    passes = [known[spec.name].from_options(spec.options) for spec in specs]
    result = PassManager(passes, strict=True, max_rounds=4).run(model)
    counts = Counter(node.op_type for node in result.model.graph)
    kind = name.partition("_")[0]
    assert counts[kind] == (2 if name.endswith("layers") else 1)
    assert set(counts) <= ALLOWED
    onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    feeds = kit.seeded_feeds(before)
    was, now = kit.ort_outputs(before, feeds), kit.ort_outputs(result.model, feeds)
    for old, new in zip(was, now, strict=True):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
        np.testing.assert_allclose(new, old, rtol=2e-6, atol=2e-6)
    return [node for node in result.model.graph if node.op_type == kind][-1]


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_torch(
    kind: str, form: str, exporter: str, torch_recurrent_exports: Path, kit: SimpleNamespace
) -> None:
    model = ir.load(torch_recurrent_exports / f"{kind}_{form}.{exporter}.onnx")
    node = check(model, f"{kind}_{form}", kit)
    backwards = node.attributes.get_string("direction", "forward") == "reverse"
    assert backwards == (form == "reversed")
    assert node.attributes.get_int("linear_before_reset", 0) == (kind == "GRU")
    assert (len(node.inputs) > 5) == (form != "zero"), "a state of zeros is left to the operator"


@pytest.mark.parametrize("name", KERAS)
def test_keras(
    name: str, keras_recurrent_exports: Path, tmp_path: Path, kit: SimpleNamespace
) -> None:
    request = ImportRequest(directory=tmp_path, limits=WorkerLimits(seconds=240))
    imported = TensorflowFrontend().load(str(keras_recurrent_exports / name), request)
    try:
        node = check(imported.model, name, kit)
    finally:
        imported.close()
    after_product = name in ("GRU_last", "GRU_all")
    assert node.attributes.get_int("linear_before_reset", 0) == after_product
