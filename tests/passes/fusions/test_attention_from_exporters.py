"""Attention of every exporter becomes Attention, and rotary embedding RotaryEmbedding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from irconv.passes.catalog import PASSES
from irconv.passes.manager import PassManager
from irconv.passes.pipelines import default_pipeline
from irconv.spec import parse_spec

EXPECTED = {
    "bert": {"Attention": 2}, "vit": {"Attention": 2}, "whisper": {"Attention": 2},
    "gpt2": {"Attention": 2}, "t5": {"Attention": 4},
    "llama": {"Attention": 2, "RotaryEmbedding": 4},
}  # fmt: skip
CASES = [
    (name, kind, exporter)
    for name in EXPECTED
    for kind in ("eager", "sdpa")
    for exporter in ("legacy", "dynamo")
    if name != "t5" or (kind, exporter) == ("eager", "legacy")
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "kind", "exporter"), CASES)
def test_every_attention_is_fused(
    name: str, kind: str, exporter: str, transformers_exports: Path, kit: SimpleNamespace
) -> None:
    path = transformers_exports / f"{name}.{kind}.{exporter}.onnx"
    feeds = dict(np.load(path.with_suffix(".npz")))
    model = ir.load(path)
    outputs = [value.name for value in model.graph.outputs]
    expected = kit.ort_outputs(model, feeds)
    known = {cls.name: cls for cls in PASSES}
    specs = [parse_spec(text) for text in default_pipeline(3)]
    passes = [known[spec.name].from_options(spec.options) for spec in specs]
    result = PassManager(passes, strict=True, max_rounds=4).run(model)
    onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    found = Counter(node.op_type for node in result.model.graph)
    assert {op: found[op] for op in EXPECTED[name]} == EXPECTED[name]
    assert found["Softmax"] == 0
    assert found["Transpose"] <= 1, "heads are split and merged by Attention itself"
    assert [value.name for value in result.model.graph.outputs] == outputs
    for value, was, now in zip(
        outputs, expected, kit.ort_outputs(result.model, feeds), strict=True
    ):
        np.testing.assert_allclose(now, was, rtol=1e-4, atol=2e-6, err_msg=str(value))


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_keys_and_values_of_former_steps_go_through(
    exporter: str, transformers_exports: Path
) -> None:
    model = ir.load(transformers_exports / f"llama.sdpa.{exporter}.onnx")
    known = {cls.name: cls for cls in PASSES}
    specs = [parse_spec(text) for text in default_pipeline(3)]
    passes = [known[spec.name].from_options(spec.options) for spec in specs]
    result = PassManager(passes, strict=True, max_rounds=4).run(model)
    nodes = [node for node in result.model.graph if node.op_type == "Attention"]
    for node, index in zip(nodes, (0, 2), strict=True):
        past = [value.name for value in node.inputs[4:6] if value is not None]
        assert past == [f"past_{index}", f"past_{index + 1}"]
        assert list(node.outputs[1:]) == list(result.model.graph.outputs[index + 1 : index + 3])
        assert (node.attributes["q_num_heads"].value, node.attributes["kv_num_heads"].value) == (
            4,
            2,
        )
