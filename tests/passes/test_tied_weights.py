"""Tied weights stay tied: an optimized file is never larger than its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irconv.passes.manager import PassManager
from irconv.passes.pipelines import build_pipeline, default_pipeline
from irconv.plugins import load_registry

_SLACK = 4096
"""Bytes that names and small constants may take."""
_ENDS = ("transposed", "scaled", "scaled_after", "plain", "duplicate")


def initializer(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(
        name=name,
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=ir.Shape(array.shape),
        const_value=ir.Tensor(array, name=name),
    )
    graph.register_initializer(value)
    return value


class Decoder:
    """A model whose embedding is also its last weight, as T5's is."""

    def __init__(self, rows: int, columns: int) -> None:
        self.ids = ir.val("ids", ir.DataType.INT64, ["N", "S"])
        self.graph = ir.Graph([self.ids], [], nodes=[], opset_imports={"": 17}, name="decoder")
        generator = np.random.default_rng(rows)
        self.array = generator.standard_normal((rows, columns)).astype(np.float32)
        self.table = initializer(self.graph, "shared", self.array)
        self.count = 0

    def node(self, op: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        pairs = [ir.convenience.convert_attribute(key, item) for key, item in attributes.items()]
        made = ir.Node("", op, inputs, pairs)
        self.count += 1
        made.outputs[0].name = made.name = f"v{self.count}"
        self.graph.append(made)
        return made.outputs[0]

    def number(self, item: float) -> ir.Value:
        self.count += 1
        return initializer(self.graph, f"c{self.count}", np.array(item, np.float32))

    def end(self, kind: str, hidden: ir.Value) -> ir.Value:
        table = self.table
        if kind == "duplicate":
            table = initializer(self.graph, "copy", self.array.copy())
        if kind == "scaled":
            hidden = self.node("Mul", hidden, self.number(0.125))
        weight = self.node("Transpose", table, perm=[1, 0])
        if kind == "plain":
            return self.node("MatMul", self.node("MatMul", hidden, weight), table)
        scores = self.node("MatMul", hidden, weight)
        return self.node("Div", scores, self.number(8.0)) if kind == "scaled_after" else scores

    def model(self, kinds: list[str], layers: int) -> ir.Model:
        hidden = self.node("Gather", self.table, self.ids)
        for _ in range(layers):
            hidden = self.node("Relu", self.node("Add", hidden, self.number(0.5)))
        for kind in dict.fromkeys(kinds):
            result = self.end(kind, hidden)
            columns = self.array.shape[1 if kind == "plain" else 0]
            result.type = ir.TensorType(ir.DataType.FLOAT)
            result.shape = ir.Shape(["N", "S", columns])
            self.graph.outputs.append(result)
        return ir.Model(self.graph, ir_version=8)


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.sampled_from((64, 700)),
    columns=st.sampled_from((32, 512)),
    kinds=st.lists(st.sampled_from(_ENDS), min_size=1, max_size=3),
    layers=st.integers(0, 2),
)
def test_a_tied_weight_is_never_untied(
    tmp_path: Path, rows: int, columns: int, kinds: list[str], layers: int
) -> None:
    model = Decoder(rows, columns).model(kinds, layers)
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    before.write_bytes(ir.to_proto(model).SerializeToString())
    passes = build_pipeline(load_registry(), default_pipeline(2))
    result = PassManager(passes, strict=True, max_rounds=4).run(model)
    after.write_bytes(ir.to_proto(result.model).SerializeToString())
    assert after.stat().st_size <= before.stat().st_size + _SLACK
