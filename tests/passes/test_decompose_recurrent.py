"""decompose-recurrent against ONNX Runtime's kernels, over what the ONNX suite leaves out."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from irconv.passes.base import PassContext
from irconv.passes.decompose.recurrent import DecomposeRecurrent

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SEQUENCE, BATCH, WIDTH, HIDDEN = 4, 3, 2, 3
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "RNN": [{}, {"clip": 0.3}, {"activations": ["Affine"], "activation_alpha": [0.5],
                                "activation_beta": [0.1]}],
    "GRU": [{}, {"linear_before_reset": 1}, {"clip": 0.3},
            {"activations": ["HardSigmoid", "ScaledTanh"], "activation_alpha": [0.3, 0.9],
             "activation_beta": [0.4, 0.8]}],
    "LSTM": [{}, {"input_forget": 1}, {"clip": 0.3},
             {"activations": ["Sigmoid", "LeakyRelu", "Softsign"], "activation_alpha": [0.2]}],
}  # fmt: skip
CASES = [
    (op, number, direction)
    for op in GATES
    for number, direction in itertools.product(
        range(len(VARIANTS[op])), ("forward", "reverse", "bidirectional")
    )
]


def recurrent_model(op: str, attributes: dict[str, Any], direction: str) -> onnx.ModelProto:
    """A model whose sequence and batch are dynamic, with every input that the operator has."""
    directions = 2 if direction == "bidirectional" else 1
    attributes = {
        key: value * directions if isinstance(value, list) else value
        for key, value in attributes.items()
    }
    generator = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> TensorProto:
        values = generator.standard_normal((directions, *shape)).astype(np.float32)
        return onnx.numpy_helper.from_array(values, name)

    rows = GATES[op] * HIDDEN
    weights = [weight("w", rows, WIDTH), weight("r", rows, HIDDEN), weight("b", 2 * rows)]
    inputs = ["x", "w", "r", "b", "lens", "h"]
    outputs = ["y", "last"]
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["S", "N", WIDTH]),
        helper.make_tensor_value_info("lens", TensorProto.INT32, ["N"]),
        helper.make_tensor_value_info("h", TensorProto.FLOAT, [directions, "N", HIDDEN]),
    ]
    if op == "LSTM":
        weights.append(weight("p", 3 * HIDDEN))
        inputs += ["c", "p"]
        outputs.append("memory")
        values.append(
            helper.make_tensor_value_info("c", TensorProto.FLOAT, [directions, "N", HIDDEN])
        )
    node = helper.make_node(
        op, inputs, outputs, hidden_size=HIDDEN, direction=direction, **attributes
    )
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (4 if name == "y" else 3))
        for name in outputs
    ]
    graph = helper.make_graph([node], "g", values, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(("op", "number", "direction"), CASES)
@pytest.mark.parametrize("dynamic", [False, True], ids=["unrolled", "loop"])
def test_equals_the_kernel(
    op: str, number: int, direction: str, dynamic: bool, kit: SimpleNamespace
) -> None:
    proto = recurrent_model(op, VARIANTS[op][number], direction)
    generator = np.random.default_rng(11)
    sizes = {"S": SEQUENCE, "N": BATCH}
    feeds = {}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        shape = [sizes.get(dim.dim_param, dim.dim_value) for dim in dims]
        feeds[value.name] = generator.standard_normal(shape).astype(np.float32)
        if not dynamic:
            for dim, size in zip(dims, shape, strict=True):
                dim.dim_value = size
    feeds["lens"] = np.array([SEQUENCE, 1, 2], np.int32)
    before, after = ir.from_proto(proto), ir.from_proto(proto)
    result = DecomposeRecurrent().run(after, PassContext())
    assert result.modified
    onnx.checker.check_model(ir.to_proto(after), full_check=True)
    types = {node.op_type for node in after.graph}
    assert op not in types
    assert ("Loop" in types) == dynamic
    for was, now in zip(kit.ort_outputs(before, feeds), kit.ort_outputs(after, feeds), strict=True):
        np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-6)
