"""assert_pass must accept a sound pass and name the promise that a broken one breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites
from irconv.testing import assert_pass

HEADER = '< ir_version: 10, opset_import: ["" : 20] >\n'
TWO_NEGS = HEADER + "g (float[N, 4] x) => (float[N, 4] y) { t = Neg(x)  y = Neg(t) }"
IDENTITY = HEADER + "g (float[N, 4] x) => (float[N, 4] y) { y = Identity(x) }"
SCALED = (
    HEADER
    + "g (float[N, 4] x) => (float[N, 4] y) <float[4] w = {1.0, 2.0, 4.0, 8.0}> { y = Mul(x, w) }"
)


@dataclass(frozen=True)
class NegNegToIdentity(Pass):
    """A sound pass; subclasses below break one promise each."""

    name: ClassVar[str] = "neg-neg"
    target: str = "Identity"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        count = 0
        for node in list(model.graph):
            source = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
            if node.op_type == "Neg" and source is not None and source.op_type == "Neg":
                self.rewrite(model, node, source)
                count += 1
        return PassResult(bool(count), {"replaced": count})

    def rewrite(self, model: ir.Model, node: ir.Node, source: ir.Node) -> None:
        node.op_type = self.target
        node.replace_input_with(0, source.inputs[0])
        model.graph.remove(source, safe=True)


def test_a_sound_pass_is_accepted_and_its_result_is_returned():
    result = assert_pass(NegNegToIdentity(), TWO_NEGS, IDENTITY)
    assert result.details == {"replaced": 1}


def test_no_change_is_accepted_where_none_is_expected():
    assert not assert_pass(NegNegToIdentity(), IDENTITY).modified


def test_another_text_is_refused_with_a_diff():
    with pytest.raises(AssertionError, match=r"(?s)unexpected result.*-.*Abs.*[+].*Identity"):
        assert_pass(NegNegToIdentity(), TWO_NEGS, IDENTITY.replace("Identity", "Abs"))


def test_wrong_outputs_are_refused():
    with pytest.raises(AssertionError, match="output 'y' differs on inputs of seed 0"):
        assert_pass(NegNegToIdentity(target="Abs"), TWO_NEGS, IDENTITY.replace("Identity", "Abs"))


def test_outputs_are_not_compared_when_told_so():
    expected = IDENTITY.replace("Identity", "Abs")
    assert assert_pass(NegNegToIdentity(target="Abs"), TWO_NEGS, expected, run=False).modified


@dataclass(frozen=True)
class _Scale(Pass):
    """Multiplies the weight ``w`` by a factor, once."""

    name: ClassVar[str] = "scale"
    factor: float = 1.0

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        value = model.graph.initializers["w"]
        if value.metadata_props.get("scaled"):
            return PassResult(False)
        value.metadata_props["scaled"] = "yes"
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(self.factor), name="w")
        return PassResult(True)


@dataclass(frozen=True)
class RoundingScale(_Scale):
    effect: ClassVar[Effect] = "real-arithmetic"


@dataclass(frozen=True)
class LossyScale(_Scale):
    effect: ClassVar[Effect] = "lossy"


def _scaled_text(factor: float) -> str:
    values = ", ".join(repr(float(np.float32(v) * np.float32(factor))) for v in (1, 2, 4, 8))
    return SCALED.replace("1.0, 2.0, 4.0, 8.0", values)


def test_bit_exact_means_exact():
    factor = 1.0 + 2.0**-22
    with pytest.raises(AssertionError, match="output 'y' differs"):
        assert_pass(_Scale(factor), SCALED, _scaled_text(factor))


def test_real_arithmetic_may_round_but_no_more():
    assert assert_pass(RoundingScale(1.0 + 2.0**-22), SCALED, _scaled_text(1.0 + 2.0**-22))
    with pytest.raises(AssertionError, match="largest error"):
        assert_pass(RoundingScale(1.25), SCALED, _scaled_text(1.25))


def test_a_lossy_pass_is_not_judged_by_its_outputs():
    assert assert_pass(LossyScale(1.25), SCALED, _scaled_text(1.25)).modified


@dataclass(frozen=True)
class Liar(NegNegToIdentity):
    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(not super().run(model, context).modified)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [(TWO_NEGS, IDENTITY, "model did change"), (IDENTITY, None, "model did not change")],
)
def test_an_untrue_modified_is_refused(before, after, message):
    with pytest.raises(AssertionError, match=message):
        assert_pass(Liar(), before, after)


@dataclass(frozen=True)
class WritesInPlace(Pass):
    name: ClassVar[str] = "writes-in-place"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        value = model.graph.initializers["w"]
        value.const_value = ir.tensor(value.const_value.numpy().copy(), name="w")
        return PassResult(False)


def test_a_new_tensor_counts_as_a_change():
    with pytest.raises(AssertionError, match="model did change"):
        assert_pass(WritesInPlace(), SCALED)


@dataclass(frozen=True)
class SharesAndWrites(Pass):
    name: ClassVar[str] = "shares-and-writes"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        proto = model.graph.initializers["w"].const_value.raw
        proto.ClearField("float_data")
        proto.raw_data = np.full(4, 3.0, np.float32).tobytes()
        return PassResult(False)


def test_writing_into_a_shared_tensor_is_refused():
    with pytest.raises(AssertionError, match="did not make"):
        assert_pass(SharesAndWrites(), SCALED)


@dataclass(frozen=True)
class NeverDone(Pass):
    name: ClassVar[str] = "never-done"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        model.graph.name = (model.graph.name or "") + "g"
        return PassResult(True)


def test_a_pass_that_is_not_idempotent_is_refused():
    with pytest.raises(AssertionError, match="no no-op"):
        assert_pass(NeverDone(), TWO_NEGS, TWO_NEGS.replace("\ng (", "\ngg ("))


@dataclass(frozen=True)
class Renames(NegNegToIdentity):
    def rewrite(self, model: ir.Model, node: ir.Node, source: ir.Node) -> None:
        super().rewrite(model, node, source)
        node.outputs[0].name = "renamed"


def test_a_changed_interface_is_refused():
    with pytest.raises(AssertionError, match="the interface changed"):
        assert_pass(Renames(), TWO_NEGS, IDENTITY)


@dataclass(frozen=True)
class SilentRefusal(Pass):
    name: ClassVar[str] = "silent"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(False, refusals=(Refusal("n", "Neg", ""),))


def test_a_refusal_without_a_reason_is_refused():
    with pytest.raises(AssertionError, match="has no reason"):
        assert_pass(SilentRefusal(), TWO_NEGS)


TWO_PAIRS = HEADER + (
    "g (float[4] x) => (float[4] y) { [a] t = Neg(x) [b] u = Neg(t) [c] v = Neg(u) [d] y = Neg(v) }"
)
TWO_IDENTITIES = HEADER + "g (float[4] x) => (float[4] y) { u = Identity(x) y = Identity(u) }"


@dataclass(frozen=True)
class Counting(NegNegToIdentity):
    """Asks before it acts, unless it is told not to."""

    asks: bool = True

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        sites = Sites(context)
        for node in list(model.graph):
            source = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
            if node.op_type == "Neg" and source is not None and source.op_type == "Neg":
                permitted = sites.permit(node)
                if permitted or not self.asks:
                    self.rewrite(model, node, source)
        return PassResult(bool(sites.made), {}, (), sites.made)


def test_a_pass_that_keeps_to_its_sites_is_accepted():
    result = assert_pass(Counting(), TWO_PAIRS, TWO_IDENTITIES)
    assert [site.node for site in result.sites] == ["b", "d"]


def test_a_pass_that_acts_at_more_sites_than_it_may_is_refused():
    with pytest.raises(AssertionError, match="allowed 0 sites it changed the model"):
        assert_pass(Counting(asks=False), TWO_PAIRS, TWO_IDENTITIES)


def test_an_invalid_operator_is_refused():
    with pytest.raises(AssertionError, match=r"onnx\.checker refuses"):
        assert_pass(
            NegNegToIdentity(target="NoSuchOp"),
            TWO_NEGS,
            IDENTITY.replace("Identity", "NoSuchOp"),
            run=False,
        )
