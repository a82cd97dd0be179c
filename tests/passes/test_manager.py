"""The pass manager: every promise of the pass contract is checked, and a breach rolled back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from irconv.errors import BackendError, InputError
from irconv.graph.fingerprint import fingerprint
from irconv.graph.text import format_model
from irconv.passes import manager
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.manager import PassDeclined, PassManager, PassRecord, PassViolation

TEXT = """
< ir_version: 10, opset_import: ["" : 20] >
g (float[N, 2] x, bool c) => (float[N, 2] y, float[N, 2] z)
< float[2] w = {1.0, 2.0} > {
    [relu] a = Relu (x)
    [mul] y = Mul (a, w)
    [if] z = If (c) <
        then_branch = then_graph () => (float[N, 2] t) { [neg] t = Neg (a) },
        else_branch = else_graph () => (float[N, 2] e) { [abs] e = Abs (a) }
    >
}
"""


def parse() -> ir.Model:
    return ir.from_onnx_text(TEXT)


def node(model: ir.Model, name: str) -> ir.Node:
    return next(item for item in model.graph if item.name == name)


@dataclass(frozen=True)
class Scripted(Pass):
    """Does what a function says; the base of all test passes."""

    name: ClassVar[str] = "scripted"
    action: ClassVar[Callable[[ir.Model], bool]]

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(type(self).action(model))


def scripted(pass_name: str, act: Callable[[ir.Model], bool], **attributes: object) -> Pass:
    return type(pass_name, (Scripted,), {"name": pass_name, "action": act, **attributes})()


def duplicate_name(model: ir.Model) -> bool:
    node(model, "mul").outputs[0].name = "a"
    return True


def use_before_definition(model: ir.Model) -> bool:
    relu, mul = node(model, "relu"), node(model, "mul")
    relu.replace_input_with(0, mul.outputs[0])
    return True


def renamed_output(model: ir.Model) -> bool:
    model.graph.outputs[0].name = "renamed"
    return True


def swapped_outputs(model: ir.Model) -> bool:
    first, second = model.graph.outputs
    model.graph.outputs[:] = [second, first]
    return True


def changed_dtype(model: ir.Model) -> bool:
    model.graph.outputs[0].dtype = ir.DataType.FLOAT16
    return True


def initializer_without_data(model: ir.Model) -> bool:
    model.graph.initializers["w"].const_value = None
    return True


def missing_opset(model: ir.Model) -> bool:
    made = ir.Node("custom", "Thing", [model.graph.inputs[0]], name="thing")
    made.outputs[0].name = "thing"
    model.graph.append(made)
    return True


def break_in_body(model: ir.Model) -> bool:
    body = node(model, "if").attributes["then_branch"].as_graph()
    next(iter(body)).outputs[0].name = ""
    return True


def hidden_change(model: ir.Model) -> bool:
    node(model, "relu").op_type = "Sigmoid"
    return False


def hidden_weight_change(model: ir.Model) -> bool:
    model.graph.initializers["w"].const_value = ir.tensor(np.array([3.0, 4.0], np.float32))
    return False


def false_claim(model: ir.Model) -> bool:
    return True


def raises(model: ir.Model) -> bool:
    node(model, "relu").op_type = "Sigmoid"
    raise KeyError("half way")


BREACHES = {
    "duplicate-name": (duplicate_name, "two values of graph 'g' are named 'a'"),
    "use-before-definition": (use_before_definition, "reads 'y' before it is defined"),
    "renamed-output": (renamed_output, "the interface changed: outputs were"),
    "swapped-outputs": (swapped_outputs, "the interface changed: outputs were"),
    "changed-dtype": (changed_dtype, "the interface changed: outputs were"),
    "initializer-without-data": (initializer_without_data, "initializer 'w' has no data"),
    "missing-opset": (missing_opset, "no opset is imported for domain 'custom'"),
    "break-in-body": (break_in_body, "graph output"),
    "hidden-change": (hidden_change, "changed the model but reported modified=False"),
    "hidden-weight-change": (hidden_weight_change, "changed the model but reported"),
    "false-claim": (false_claim, "reported modified=True but changed nothing"),
    "raises": (raises, "KeyError: 'half way'"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_breach_is_rolled_back_and_named(name: str) -> None:
    act, reason = BREACHES[name]
    model = parse()
    before = format_model(model)
    result = PassManager([scripted(name, act)]).run(model)
    (record,) = result.records
    assert record.name == name
    assert reason in record.error
    assert not record.modified
    assert not result.modified
    assert record.nodes_after == record.nodes_before == 5
    assert format_model(result.model) == before
    assert fingerprint(result.model) == fingerprint(result.model.clone())


@pytest.mark.parametrize("name", BREACHES)
def test_strict_stops_at_a_breach(name: str) -> None:
    act, reason = BREACHES[name]
    with pytest.raises(BackendError) as caught:
        PassManager([scripted(name, act)], strict=True).run(parse())
    assert reason in str(caught.value)
    assert f"pass {name}" in str(caught.value)


def to_sigmoid(model: ir.Model) -> bool:
    relu = node(model, "relu")
    changed = relu.op_type != "Sigmoid"
    relu.op_type = "Sigmoid"
    return changed


def test_the_run_goes_on_from_the_last_good_state() -> None:
    passes = [
        scripted("good", to_sigmoid),
        scripted("bad", raises_after_damage),
        scripted("later", to_exp_in_body),
    ]
    result = PassManager(passes).run(parse())
    assert [record.modified for record in result.records] == [True, False, True]
    assert [bool(record.error) for record in result.records] == [False, True, False]
    text = format_model(result.model)
    assert "Sigmoid" in text
    assert "Exp" in text
    assert "Tanh" not in text


def raises_after_damage(model: ir.Model) -> bool:
    node(model, "relu").op_type = "Tanh"
    model.graph.remove(node(model, "if"))
    return True


def to_exp_in_body(model: ir.Model) -> bool:
    body = node(model, "if").attributes["then_branch"].as_graph()
    inner = next(iter(body))
    changed = inner.op_type != "Exp"
    inner.op_type = "Exp"
    return changed


def test_two_breaches_in_a_row_restore_the_same_state() -> None:
    model = parse()
    before = format_model(model)
    bad = [scripted("one", raises), scripted("two", hidden_change), scripted("three", raises)]
    result = PassManager(bad).run(model)
    assert all(record.error for record in result.records)
    assert format_model(result.model) == before


def test_an_error_of_ours_ends_the_run() -> None:
    def asked_for_the_impossible(model: ir.Model) -> bool:
        raise InputError("no such dimension")

    with pytest.raises(InputError, match="no such dimension"):
        PassManager([scripted("asks", asked_for_the_impossible)]).run(parse())


def counting(limit: int) -> Callable[[ir.Model], bool]:
    def count(model: ir.Model) -> bool:
        number = int(model.metadata_props.get("count", "0"))
        if number >= limit:
            return False
        model.metadata_props["count"] = str(number + 1)
        return True

    return count


@pytest.mark.parametrize(("limit", "rounds", "expected"), [(2, 5, 3), (9, 4, 4), (0, 4, 1)])
def test_rounds_end_at_the_fixpoint_or_the_limit(limit: int, rounds: int, expected: int) -> None:
    manager = PassManager([scripted("count", counting(limit))], max_rounds=rounds)
    result = manager.run(parse())
    assert [record.round for record in result.records] == list(range(1, expected + 1))


def test_once_runs_in_the_first_round_only() -> None:
    passes = [scripted("once", counting(1), once=True), scripted("more", counting(3))]
    records = PassManager(passes, max_rounds=9).run(parse()).records
    assert [(record.name, record.round) for record in records] == [
        ("once", 1), ("more", 1), ("more", 2), ("more", 3),
    ]  # fmt: skip


@dataclass
class Recorder:
    """An observer that writes down what it sees."""

    events: list[str] = field(default_factory=list)
    veto: str = ""

    def before(self, pass_: Pass, model: ir.Model) -> None:
        self.events.append(f"before {pass_.name} {node(model, 'relu').op_type}")

    def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
        self.events.append(f"after {pass_.name} {node(model, 'relu').op_type} {record.modified}")
        record.details["seen"] = True
        if pass_.name == self.veto:
            raise PassViolation("the outputs differ")


def test_observers_stand_around_each_pass() -> None:
    recorder = Recorder()
    passes = [scripted("good", to_sigmoid), scripted("bad", raises)]
    records = PassManager(passes, observers=[recorder]).run(parse()).records
    assert recorder.events == ["before good Relu", "after good Sigmoid True", "before bad Sigmoid"]
    assert records[0].details == {"seen": True}


def test_an_observer_can_have_a_pass_rolled_back() -> None:
    model = parse()
    before = format_model(model)
    manager = PassManager([scripted("good", to_sigmoid)], observers=[Recorder(veto="good")])
    result = manager.run(model)
    assert "the outputs differ" in result.records[0].error
    assert not result.modified
    assert format_model(result.model) == before


def test_an_empty_pipeline_changes_nothing() -> None:
    model = parse()
    result = PassManager([]).run(model)
    assert result.model is model
    assert result.records == []


@dataclass(frozen=True)
class Choosy(Pass):
    """Has options, refusals and details."""

    name: ClassVar[str] = "choosy"

    limit: int = 3
    names: tuple[str, ...] = ()

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(False, {"limit": self.limit}, (Refusal("relu", "Relu", "too plain"),))


def test_records_hold_spec_details_and_refusals() -> None:
    manager = PassManager([Choosy(limit=5, names=("a b", "c"))])
    (record,) = manager.run(parse()).records
    assert record.spec == 'choosy{limit=5,names=["a b",c]}'
    assert manager.spec == record.spec
    assert record.refusals == (Refusal("relu", "Relu", "too plain"),)
    document = record.to_json()
    assert document["details"] == {"limit": 5}
    assert (document["nodes_before"], document["nodes_after"]) == (5, 5)
    assert "error" not in document


def test_rollback_keeps_tensors_shared() -> None:
    model = parse()
    tensor = model.graph.initializers["w"].const_value
    result = PassManager([scripted("raises", raises)]).run(model)
    assert result.model.graph.initializers["w"].const_value is tensor


@pytest.mark.parametrize("strict", [False, True])
def test_a_declined_pass_is_taken_back_without_an_error(strict: bool) -> None:
    @dataclass
    class Decline:
        def before(self, pass_: Pass, model: ir.Model) -> None:
            pass

        def after(self, pass_: Pass, model: ir.Model, record: PassRecord) -> None:
            record.details["why"] = "not worth it"
            raise PassDeclined("not worth it")

    def change(model: ir.Model) -> bool:
        node(model, "relu").op_type = "Sigmoid"
        return True

    model = parse()
    before = format_model(model)
    result = PassManager(
        [scripted("change", change)], strict=strict, max_rounds=3, observers=[Decline()]
    ).run(model)
    (record,) = result.records
    assert (record.error, record.modified, record.sites) == ("", False, ())
    assert record.details == {"why": "not worth it"}
    assert record.nodes_after == record.nodes_before
    assert format_model(result.model) == before


@pytest.mark.parametrize("given", [False, True])
def test_a_breach_found_at_the_end_starts_again(given: bool) -> None:
    starts: list[ir.Model] = []

    def again() -> ir.Model:
        starts.append(parse())
        return starts[-1]

    passes = [scripted("breaks", duplicate_name, __module__=f"{manager._OWN}breaks")]
    result = PassManager(passes, check="end").run(parse(), again=again if given else None)
    assert "'a'" in result.records[0].error
    assert format_model(result.model) == format_model(parse())
    assert len(starts) == given
