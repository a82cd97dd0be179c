"""Models with quantized activations are judged by the step of their grid, and still can fail."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from irconv.verify.inputs import generate_samples
from irconv.verify.tolerance import derive_tolerances
from irconv.verify.verifier import judge

NET = """
< ir_version: 10, opset_import: ["" : 20] >
quantized (float[N, 16] x) => (float[N, 8] y)
< float s_x = {0.0625}, uint8 z_x = {128}, float s_h = {0.25}, uint8 z_h = {128},
  float s_y = {0.5}, uint8 z_y = {128} > {
    q_x = QuantizeLinear (x, s_x, z_x)
    d_x = DequantizeLinear (q_x, s_x, z_x)
    h = MatMul (d_x, w)
    q_h = QuantizeLinear (h, s_h, z_h)
    d_h = DequantizeLinear (q_h, s_h, z_h)
    g = MatMul (d_h, v)
    q_y = QuantizeLinear (g, s_y, z_y)
    y = DequantizeLinear (q_y, s_y, z_y)
}
"""


def add_weight(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """Give a free name of the graph its data; nodes that read the name are connected."""
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape
    )
    for node in model.graph:
        for index, read in enumerate(node.inputs):
            if read is not None and read.name == name:
                node.replace_input_with(index, value)
    model.graph.register_initializer(value)
    return value


@pytest.fixture(scope="module")
def quantized() -> ir.Model:
    model = ir.from_onnx_text(NET)
    random = np.random.default_rng(3)
    for name, shape in {"w": (16, 16), "v": (16, 8)}.items():
        array = random.standard_normal(shape).astype(np.float32)
        add_weight(model, name, array)
    return model


def judged(model, other, make_golden, open_reference):
    golden = make_golden(model, generate_samples(model))
    tolerances = derive_tolerances(model, golden, "int8", open_reference)
    with open_reference(other) as runner:
        actual = [runner.run(feeds) for feeds in golden.inputs]
    return judge(golden, actual, tolerances, level="artifact", reference={})


def test_the_basis_names_the_grid(quantized, make_golden, open_reference) -> None:
    golden = make_golden(quantized, generate_samples(quantized))
    tolerance = derive_tolerances(quantized, golden, "int8", open_reference)["y"]
    assert "quantized activations" in tolerance.basis
    assert tolerance.value >= 0.5, "one step of the output's grid must be allowed"
    assert tolerance.value < np.ptp(np.concatenate([o["y"] for o in golden.outputs])) / 2


def test_a_neighbouring_step_passes(quantized, make_golden, open_reference) -> None:
    shifted = quantized.clone()
    node = next(node for node in shifted.graph if node.outputs[0].name == "h")
    nudge = add_weight(shifted, "nudge", np.float32(0.05))
    add = ir.node("Add", [node.outputs[0], nudge])
    node.outputs[0].replace_all_uses_with(add.outputs[0])
    add.replace_input_with(0, node.outputs[0])
    shifted.graph.insert_after(node, add)
    assert judged(quantized, shifted, make_golden, open_reference).verdict == "pass"


def test_a_wrong_scale_fails(quantized, make_golden, open_reference) -> None:
    wrong = quantized.clone()
    wrong.graph.initializers["s_h"].const_value = ir.tensor(np.float32(0.5), name="s_h")
    reads = [node for node in wrong.graph if node.op_type == "QuantizeLinear"]
    right = add_weight(wrong, "s_h_right", np.float32(0.25))
    reads[1].replace_input_with(1, right)
    assert judged(quantized, wrong, make_golden, open_reference).verdict == "fail"
