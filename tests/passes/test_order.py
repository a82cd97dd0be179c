"""The order of passes, from their `after` declarations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irconv.errors import UsageError
from irconv.passes.base import Pass, PassContext, PassResult
from irconv.passes.catalog import PASSES
from irconv.passes.order import order_passes


@dataclass(frozen=True)
class Still(Pass):
    """Does nothing; only its place in the order matters."""

    name: ClassVar[str] = "still"

    label: str = ""

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        return PassResult(False)


def still(name: str, *after: str, label: str = "") -> Pass:
    return type(name, (Still,), {"name": name, "after": after})(label=label)


def names(passes: list[Pass]) -> list[str]:
    return [pass_.name for pass_ in passes]


def test_the_given_order_is_kept_where_nothing_is_declared() -> None:
    assert names(order_passes([still("c"), still("a"), still("b")])) == ["c", "a", "b"]


def test_declarations_win_over_the_given_order() -> None:
    passes = [still("a", "c"), still("b"), still("c")]
    assert names(order_passes(passes)) == ["b", "c", "a"]


def test_a_pass_that_is_not_there_is_no_constraint() -> None:
    assert names(order_passes([still("a", "missing"), still("b")])) == ["a", "b"]


def test_instances_of_one_pass_keep_their_order() -> None:
    first, second = still("a", label="1"), still("a", label="2")
    ordered = order_passes([still("b", "a"), first, second])
    assert [pass_ for pass_ in ordered if pass_.name == "a"] == [first, second]
    assert names(ordered).index("b") > ordered.index(first)


def test_a_repeated_pass_stands_where_it_was_put() -> None:
    given_order = [still("infer"), still("fold", "infer"), still("infer"), still("fold", "infer")]
    assert order_passes(given_order) == given_order


def test_a_cycle_is_printed() -> None:
    with pytest.raises(UsageError) as caught:
        order_passes([still("a", "c"), still("b", "a"), still("c", "b"), still("d")])
    text = str(caught.value)
    assert " -> ".join(["a", "b", "c", "a"]) in text or "b -> c -> a -> b" in text
    assert "d" not in text.splitlines()[0].split(": ")[1].split(" -> ")


def test_a_pass_after_itself_is_a_cycle() -> None:
    with pytest.raises(UsageError, match="a -> a"):
        order_passes([still("a", "a")])


@given(st.permutations([cls.name for cls in PASSES]))
def test_the_passes_of_the_core_can_be_ordered_from_any_start(order: list[str]) -> None:
    declared = {cls.name: cls.after for cls in PASSES}
    ordered = names(order_passes([still(name, *declared[name]) for name in order]))
    assert sorted(ordered) == sorted(order)
    for position, name in enumerate(ordered):
        assert not set(declared[name]) & set(ordered[position:])
