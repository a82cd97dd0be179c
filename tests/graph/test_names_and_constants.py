from __future__ import annotations

import time

import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.constants import constant_ints, constant_tensor, is_constant
from irconv.graph.names import NameAllocator, ambiguous_names, fresh_name

MODEL = """
< ir_version: 10, opset_import: ["" : 20, "local" : 1] >
main (float[4] x, bool c, float[4] given) => (float[4] y)
<float[4] w = {1, 2, 3, 4}, float[4] given = {0, 0, 0, 0}, int64[2] shape = {2, 2}> {
    k = Constant <value_ints = [3, 4]> ()
    y = If (c) <
        then_branch = a_graph () => (float[4] a)
        <float[4] inner = {1, 2, 3, 4}> { b = Add(inner, w) a = Add(b, given) },
        else_branch = b_graph () => (float[4] e) { e = local.Twice(x) }
    >
}
< domain: "local", opset_import: ["" : 20] >
Twice <factor> (p) => (q) { m = Constant <value_float : float = @factor> () q = Mul(p, m) }
"""


@pytest.fixture
def model() -> ir.Model:
    return ir.from_onnx_text(MODEL)


@pytest.mark.parametrize("base", ["x", "w", "k", "y", "inner", "b", "p", "q"])
def test_fresh_names_avoid_every_graph(model: ir.Model, base: str) -> None:
    assert fresh_name(model, base) == f"{base}_1"


def test_names_stay_fresh(model: ir.Model) -> None:
    names = NameAllocator(model)
    made = [names.fresh(base) for base in ("new", "new", "new_1", "x", "x", "", "")]
    assert made == ["new", "new_1", "new_1_1", "x_1", "x_2", "value", "value_1"]


def test_many_names_of_one_base_are_linear(model: ir.Model) -> None:
    def seconds(count: int) -> float:
        names, start = NameAllocator(model), time.process_time()
        for _ in range(count):
            names.fresh("same")
        return time.process_time() - start

    assert seconds(200_000) < 5


def test_names_that_two_graphs_define(model: ir.Model) -> None:
    assert ambiguous_names(model) == frozenset()
    model.functions["local", "Twice", ""].inputs[0].name = "x"
    assert ambiguous_names(model) == {"x"}


def test_constants_are_seen_from_bodies(model: ir.Model) -> None:
    body = model.graph[1].attributes["then_branch"].as_graph()
    inner, outer = body[0].inputs
    overridable = body[1].inputs[1]
    assert constant_tensor(inner) is not None
    assert constant_tensor(outer) is model.graph.initializers["w"].const_value
    assert constant_tensor(overridable) is None
    assert not is_constant(overridable)


def test_what_is_not_constant(model: ir.Model) -> None:
    reference = model.functions["local", "Twice", ""].graph[0].outputs[0]
    for value in (None, model.graph.inputs[0], model.graph.outputs[0], reference):
        assert constant_tensor(value) is None
        assert constant_ints(value) is None
        assert not is_constant(value)


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (ir.AttrInt64("value_int", 7), np.array(7, np.int64)),
        (ir.AttrInt64s("value_ints", []), np.array([], np.int64)),
        (ir.AttrFloat32("value_float", 0.5), np.array(0.5, np.float32)),
        (ir.AttrFloat32s("value_floats", [0.5, 1]), np.array([0.5, 1], np.float32)),
        (ir.AttrString("value_string", "é"), np.array("é".encode())),
        (ir.AttrStrings("value_strings", ["a", "b"]), np.array([b"a", b"b"])),
        (ir.AttrTensor("value", ir.tensor([1, 2])), np.array([1, 2], np.int64)),
    ],
)
def test_every_form_of_constant(attribute: ir.Attr, expected: np.ndarray) -> None:
    output = ir.Node("", "Constant", [], [attribute]).outputs[0]
    tensor = constant_tensor(output)
    assert tensor is not None
    assert is_constant(output)
    assert tuple(tensor.shape) == expected.shape
    assert tensor.numpy().dtype.kind == expected.dtype.kind
    assert tensor.numpy().tolist() == expected.tolist()
    if expected.dtype == np.int64:
        assert constant_ints(output) == tuple(expected.reshape(-1).tolist())
    else:
        assert constant_ints(output) is None


def test_another_domain_has_other_constants() -> None:
    node = ir.Node("custom", "Constant", [], [ir.AttrInt64("value_int", 7)])
    assert constant_tensor(node.outputs[0]) is None


def test_too_many_integers_are_not_unpacked() -> None:
    node = ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.tensor(np.zeros(70_000, int)))])
    assert constant_ints(node.outputs[0]) is None
    assert is_constant(node.outputs[0])
