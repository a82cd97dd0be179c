"""Spec text must read and print without loss, and say where it cannot be read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irconv.errors import UsageError
from irconv.spec import Configurable, Spec, field_types, parse_pipeline, parse_spec


@dataclass(frozen=True)
class Everything(Configurable):
    name: ClassVar[str] = "every-thing"

    count: int = 1
    ratio: float = 0.5
    flag: bool = False
    text: str = ""
    choice: Literal["one", "two"] = "one"
    version: Literal[13, 21] = 13
    limit: int | None = None
    label: str | None = None
    cap: int | None = 5
    sizes: tuple[int, ...] = ()
    names: tuple[str, ...] = ("a",)
    grid: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Checked(Configurable):
    name: ClassVar[str] = "checked"

    level: int = 0

    def __post_init__(self) -> None:
        if self.level > 3:
            raise ValueError("level goes up to 3")


@dataclass(frozen=True)
class Required(Configurable):
    name: ClassVar[str] = "required"

    path: str


everything = st.builds(
    Everything,
    count=st.integers(),
    ratio=st.floats(allow_nan=False),
    flag=st.booleans(),
    text=st.text(),
    choice=st.sampled_from(["one", "two"]),
    version=st.sampled_from([13, 21]),
    limit=st.none() | st.integers(),
    label=st.none() | st.just("none") | st.text(),
    cap=st.none() | st.integers(),
    sizes=st.lists(st.integers()).map(tuple),
    names=st.lists(st.text()).map(tuple),
    grid=st.lists(st.lists(st.integers()).map(tuple)).map(tuple),
)


@given(everything)
def test_every_instance_reads_back_from_its_text(instance):
    parsed = parse_spec(str(instance))
    assert parsed.name == "every-thing"
    assert Everything.from_options(parsed.options) == instance


@given(st.lists(everything, max_size=3))
def test_every_pipeline_reads_back(instances):
    specs = parse_pipeline(",".join(map(str, instances)))
    assert [Everything.from_options(spec.options) for spec in specs] == instances


@given(st.text())
def test_any_text_is_a_spec_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        spec = parse_spec(text)
        assert parse_spec(str(spec)) == spec


def test_defaults_are_left_out():
    assert str(Everything()) == "every-thing"
    assert str(Everything(count=3, flag=True, sizes=(1, 2))) == (
        "every-thing{count=3,flag=true,sizes=[1,2]}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trt", Spec("trt", {})),
        ("trt{}", Spec("trt", {})),
        (" trt { sm = 89 , a-b = x } ", Spec("trt", {"sm": "89", "a_b": "x"})),
        ('a{b="x,}\\"\\\\"}', Spec("a", {"b": 'x,}"\\'})),
        ("a{b=[1,[2,3],[]]}", Spec("a", {"b": ("1", ("2", "3"), ())})),
        ("a{b=2..8@4}", Spec("a", {"b": "2..8@4"})),
    ],
)
def test_forms_that_are_read(text, expected):
    assert parse_spec(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a kebab-case name at column 1"),
        ("A", "expected a kebab-case name at column 1"),
        ("a b", "expected the end of the spec at column 3"),
        ("a{", "expected an option name at column 3"),
        ("a{b}", "expected '=' at column 4"),
        ("a{b=}", "expected a value at column 5"),
        ("a{b=1", "expected ',' at column 6"),
        ("a{b=1,}x", "expected an option name at column 7"),
        ('a{b="1', "expected a closing double quote at column 7"),
        ("a{b=[1", "expected ',' at column 7"),
        ("a{b=1}}", "expected the end of the spec at column 7"),
        ("a-{b=1}", "expected the end of the spec at column 2"),
        ("a{b=1,b=2}", "option 'b' is given twice"),
        ("a{b-c=1,b_c=2}", "option 'b_c' is given twice"),
    ],
)
def test_errors_name_the_column(text, message):
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert message in caught.value.what


def test_pipelines():
    assert parse_pipeline("  ") == []
    assert [spec.name for spec in parse_pipeline("a, b{x=1} ,c")] == ["a", "b", "c"]
    for text in ("a,,b", "a b", ",a"):
        with pytest.raises(UsageError):
            parse_pipeline(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("every-thing{nope=1}", "has no option 'nope'"),
        ("every-thing{count=1.5}", "must be of type int, not '1.5'"),
        ("every-thing{ratio=much}", "must be of type float, not 'much'"),
        ("every-thing{flag=1}", "must be true or false, not '1'"),
        ("every-thing{choice=three}", "cannot be 'three'"),
        ("every-thing{count=[1,2]}", "takes one value, not a list"),
        ("every-thing{limit=[1]}", "takes one value, not a list"),
        ("every-thing{limit=x}", "must be of type int, not 'x'"),
        ("every-thing{sizes=[1,x]}", "must be of type int, not 'x'"),
    ],
)
def test_wrong_options_are_usage_errors(text, message):
    with pytest.raises(UsageError) as caught:
        Everything.from_options(parse_spec(text).options)
    assert message in caught.value.what


def test_a_single_value_serves_as_a_tuple():
    assert Everything.from_options({"sizes": "3"}).sizes == (3,)


def test_an_option_can_be_set_back_to_none():
    assert Everything.from_options({"limit": "none", "label": "none"}) == Everything()
    assert str(Everything(cap=None)) == "every-thing{cap=none}"


def test_the_quoted_word_none_is_text():
    assert str(Everything(label="none")) == 'every-thing{label="none"}'
    assert Everything.from_options(parse_spec('a{label="none"}').options).label == "none"


def test_an_error_of_the_class_is_a_usage_error():
    with pytest.raises(UsageError, match="level goes up to 3"):
        Checked.from_options({"level": "4"})
    with pytest.raises(UsageError, match="path"):
        Required.from_options({})


def test_a_required_option_reads_back():
    assert str(Required("x y")) == 'required{path="x y"}'
    assert Required.from_options(parse_spec(str(Required(""))).options) == Required("")


def test_deep_nesting_is_a_usage_error():
    with pytest.raises(UsageError):
        parse_spec("a{b=" + "[" * 100_000 + "}")


def test_field_types():
    assert field_types(Checked) == {"level": int}
