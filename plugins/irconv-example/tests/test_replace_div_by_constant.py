"""The pass of the example plugin, as its author would test it."""

from __future__ import annotations

import pytest
from irconv_example.replace_div_by_constant import ReplaceDivByConstant

from irconv.passes.base import PassContext
from irconv.testing import assert_pass

HEADER = '< ir_version: 10, opset_import: ["" : 20] >\n'


def model(divisor: str, dtype: str = "float", shape: str = "2") -> str:
    return (
        HEADER + f"g ({dtype}[N, 2] x) => ({dtype}[N, 2] y) <{dtype}[{shape}] c = {divisor}> "
        "{ y = Div (x, c) }"
    )


def replaced(divisor: str, reciprocal: str) -> str:
    return (
        HEADER + f"g (float[N, 2] x) => (float[N, 2] y) "
        f"<float[2] c = {divisor}, float[2] c_reciprocal> {{ "
        f"c_reciprocal = Constant <value = float[2] {reciprocal}> ()  y = Mul (x, c_reciprocal) }}"
    )


def test_powers_of_two_are_replaced():
    before, after = model("{4.0, -0.5}"), replaced("{4.0, -0.5}", "{0.25, -2.0}")
    assert_pass(ReplaceDivByConstant(), before, after, rtol=1e-30)


def test_other_constants_are_replaced_where_asked():
    before, after = model("{3.0, 10.0}"), replaced("{3.0, 10.0}", "{0.33333334, 0.1}")
    result = assert_pass(ReplaceDivByConstant(exact=False), before, after)
    assert result.details == {"replaced": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (model("{3.0, 4.0}"), "no power of two"),
        (model("{0.0, 4.0}"), "zero, subnormal or not finite"),
        (model("{2, 4}", "int32"), "has no reciprocals"),
        (model("{2.0, 4.0}").replace("N, 2] x", "N, 2] x, float[2] c"), "no constant"),
    ],
)
def test_refusals_have_reasons(text, reason):
    (refusal,) = assert_pass(ReplaceDivByConstant(), text).refusals
    assert reason in refusal.reason


def test_the_bound_on_new_constants_is_kept():
    context = PassContext(max_constant_bytes=4)
    (refusal,) = assert_pass(ReplaceDivByConstant(), model("{2.0, 4.0}"), context=context).refusals
    assert "more than 4 bytes" in refusal.reason


def test_bodies_and_taken_names():
    before = HEADER + (
        "g (float[N, 2] x, bool k) => (float[N, 2] y) <float c = {2.0}> {"
        " c_reciprocal = Neg (x)"
        " y = If (k) <then_branch = a () => (float[N, 2] p) { p = Div (c_reciprocal, c) },"
        "             else_branch = b () => (float[N, 2] q) { q = Div (x, c) }> }"
    )
    after = before.replace(
        "{ p = Div (c_reciprocal, c) }",
        "<float c_reciprocal_1> { c_reciprocal_1 = Constant <value = float {0.5}> ()"
        " p = Mul (c_reciprocal, c_reciprocal_1) }",
    ).replace(
        "{ q = Div (x, c) }",
        "<float c_reciprocal_2> { c_reciprocal_2 = Constant <value = float {0.5}> ()"
        " q = Mul (x, c_reciprocal_2) }",
    )
    assert assert_pass(ReplaceDivByConstant(), before, after).details == {"replaced": 2}
