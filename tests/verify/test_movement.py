"""Tensors inside a model are compared across a pass, not its outputs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from irconv.graph.correspondence import corresponding_values
from irconv.graph.snapshot import snapshot
from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.fuse_conv_batchnorm import FuseConvBatchnorm
from irconv.passes.infer_shapes import InferShapes
from irconv.passes.manager import PassManager
from irconv.verify.extract import extract
from irconv.verify.inputs import generate_samples
from irconv.verify.movement import first_movement
from irconv.verify.observers import VerifyObserver

HIDING = """
    < ir_version: 10, opset_import: ["" : 20] >
    g (float[N, 8] x) => (float[N, 8] y)
    < float one = {1.0}, float low = {-100.0}, float tiny = {0.0} > {
        [first] a = Add (x, one)
        [second] b = Mul (a, a)
        [third] c = Sqrt (b)
        [fourth] d = Sub (c, low)
        [fifth] e = Mul (d, tiny)
        [sixth] f = Exp (e)
        [last] y = Add (f, x)
    }
"""


@pytest.fixture
def hiding() -> ir.Model:
    """A model whose output does not depend on what is computed on the way."""
    return ir.from_onnx_text(HIDING)


def typed(model: ir.Model) -> ir.Model:
    InferShapes().run(model, PassContext())
    return model


def changing(value: str, operator: str, effect_: Effect = "real-arithmetic") -> Pass:
    """A pass that gives the node that computes a value another operator."""

    @dataclass(frozen=True)
    class Change(Pass):
        name: ClassVar[str] = "change-operator"
        effect: ClassVar[Effect] = effect_

        def run(self, model, context):
            found = next(item for item in model.graph if item.outputs[0].name == value)
            found.op_type = operator
            return PassResult(True)

    return Change()


def record_of(model, pass_, open_reference, **options):
    observer = VerifyObserver(open_reference, generate_samples(model, count=2), **options)
    return PassManager([pass_], observers=[observer]).run(model).records[0]


def test_what_no_output_shows_is_found_inside(hiding, open_reference):
    wrong = changing("c", "Abs")
    assert record_of(snapshot(hiding), wrong, open_reference).modified, "the output hides it"
    record = record_of(hiding, wrong, open_reference, inside=True)
    assert not record.modified
    assert "tensor 'c' (computed by Abs 'third') moved by" in record.error
    assert "'real-arithmetic'" in record.error


def test_an_output_that_moved_names_the_first_tensor(cnn, open_reference):
    record = record_of(cnn, changing("r1", "Sigmoid"), open_reference, inside=True)
    assert "output 'y' moved by" in record.error
    assert "the first tensor that moved is 'r1' (computed by Sigmoid" in record.error


def test_bit_exact_passes_may_move_nothing_inside(hiding, open_reference):
    weights = hiding.graph.initializers["one"]

    @dataclass(frozen=True)
    class Nudge(Pass):
        name: ClassVar[str] = "nudge"

        def run(self, model, context):
            array = weights.const_value.numpy() * np.float32(1 + 2**-23)
            weights.const_value = ir.tensor(array, name="one")
            return PassResult(True)

    record = record_of(hiding, Nudge(), open_reference, inside=True)
    assert "tensor 'a'" in record.error
    assert "may move it by 0" in record.error


def test_a_fusion_within_rounding_is_kept(cnn, open_reference):
    record = record_of(cnn, FuseConvBatchnorm(), open_reference, inside=True)
    assert record.modified, record.error


def test_values_that_keep_a_reader_correspond(cnn):
    before = snapshot(typed(cnn))
    assert corresponding_values(before, cnn) == [], "nothing changed"
    FuseConvBatchnorm().run(cnn, PassContext())
    names = [value.name for value in corresponding_values(before, cnn)]
    assert names == ["r1", "c2", "a2", "r2", "c3", "r3", "p", "f"]
    assert "c1" not in names, "it holds what n1 held"


def test_values_that_are_equal_by_construction_are_left_out(cnn):
    before = snapshot(typed(cnn))
    change = changing("r2", "Sigmoid")
    change.run(cnn, PassContext())
    names = [value.name for value in corresponding_values(before, cnn)]
    assert names == ["r2", "c3", "r3", "p", "f"]


def test_a_body_that_reads_a_changed_value_is_changed():
    model = ir.from_onnx_text("""
        < ir_version: 10, opset_import: ["" : 20] >
        g (float[4] x, bool flag) => (float[4] y) {
            [inner] a = Neg (x)
            [keep] k = Abs (a)
            [branch] b = If (flag) <
                then_branch = t () => (float[4] p) { p = Relu (a) },
                else_branch = e () => (float[4] q) { q = Exp (a) }
            >
            [other] o = Neg (x)
            [sum] s = Add (b, o)
            y = Add (s, k)
        }
    """)
    before = snapshot(typed(model))
    changing("a", "Abs").run(model, PassContext())
    assert [value.name for value in corresponding_values(before, model)] == ["a", "k", "b", "s"]


def test_few_values_at_a_time(hiding, open_reference):
    opened = []

    def open_counted(model):
        opened.append([value.name for value in model.graph.outputs])
        return open_reference(model)

    before = snapshot(hiding)
    changing("e", "Add").run(hiding, PassContext())
    samples = generate_samples(hiding, count=1)
    found = first_movement(before, hiding, samples, open_counted, exact=True, budget_bytes=1)
    assert (found.name, found.node) == ("e", "fifth")
    assert opened == [["e"], ["e"]], "it stops at the first"
    changing("e", "Mul").run(hiding, PassContext())
    assert first_movement(before, hiding, samples, open_counted, exact=True) is None


def test_extract_keeps_what_is_needed(hiding):
    part = extract(hiding, ["c", "a"])
    assert [node.name for node in part.graph] == ["first", "second", "third"]
    assert [value.name for value in part.graph.outputs] == ["c", "a"]
    assert list(part.graph.initializers) == ["one"]
    assert len(hiding.graph) == 7
    with pytest.raises(KeyError):
        extract(hiding, ["nothing"])
