"""Shape options: every form that is read, and a usage error for everything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irconv.errors import UsageError
from irconv.runtime.values import dtype_name, numpy_dtype
from irconv.shapes import DTYPES, DimRange, InputSpec, parse_input, parse_shapes


def test_ranges():
    assert parse_shapes(["batch=1..8@4, seq=16", "n=2..3"]) == {
        "batch": DimRange(1, 4, 8),
        "seq": DimRange(16, 16, 16),
        "n": DimRange(2, 3, 3),
    }
    assert parse_shapes([]) == parse_shapes(["", " , "]) == {}


@given(st.lists(st.integers(1, 10**6), min_size=3, max_size=3).map(sorted))
def test_ranges_print_as_they_are_read(bounds):
    ranges = {"n": DimRange(*bounds)}
    assert parse_shapes([f"n={ranges['n']}"]) == ranges
    assert ranges["n"].bound == (bounds[0] == bounds[2])


@pytest.mark.parametrize(
    "text",
    ["batch", "batch=", "=4", "batch=x", "batch=-1", "batch=1..", "batch=1@1", "batch=1.5",
     "batch=1..2@", "batch=" + "9" * 5000, "batch=²"],
)  # fmt: skip
def test_other_forms_are_usage_errors(text):
    with pytest.raises(UsageError, match=r"--shape"):
        parse_shapes([text])


@pytest.mark.parametrize("text", ["n=0", "n=4..2", "n=1..4@5", "n=2..4@1"])
def test_bounds_in_the_wrong_order_are_usage_errors(text):
    with pytest.raises(UsageError, match="1 <= MIN <= BEST <= MAX"):
        parse_shapes([text])


def test_one_name_with_two_ranges_is_a_usage_error():
    with pytest.raises(UsageError, match="'n' twice"):
        parse_shapes(["n=1", "n=2"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[1,3,224,224]{f32}", InputSpec("x", (1, 3, 224, 224), "float32")),
        (" x [ 2 , seq , ? ] ", InputSpec("x", (2, "seq", None))),
        ("a/b:0[]{bool}", InputSpec("a/b:0", (), "bool")),
        ("x[0]{int64}", InputSpec("x", (0,), "int64")),
    ],
)
def test_inputs(text, expected):
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    "text",
    ["x", "x[1", "[1]", "x[1]{f33}", "x[1]{}", "x[1]f32", "x[²]", "x[-1]", "x[1.5]", "x[1,,2]",
     "x[" + "9" * 5000 + "]"],
)  # fmt: skip
def test_other_inputs_are_usage_errors(text):
    with pytest.raises(UsageError, match=r"--input"):
        parse_input(text)


@given(st.text(alphabet="x[]{},?0123456789.f² =@-", max_size=20))
def test_any_text_is_read_or_a_usage_error(text):
    for parse in (parse_input, lambda text: parse_shapes([text])):
        with contextlib.suppress(UsageError):
            parse(text)


def test_every_short_dtype_stands_for_one_that_numpy_has():
    for name in DTYPES.values():
        assert dtype_name(numpy_dtype(name)) == name
