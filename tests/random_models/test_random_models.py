"""Random graphs over nearly all operators, through passes in every order that ``after`` allows."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import onnx
import pytest
from assembly import Assembly, Draft
from bodies import BODIES
from execution import bodies_of
from grafts import GRAFTS, graft
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider
from onnx import NodeProto
from operators import RECIPES
from orders import APART, cases, is_exact, linear_extension, lossy_cases, variants, weight_passes
from proof import assert_kept, assert_sound, is_usable
from steady import STEADY, SteadyProvider
from strategy import OPSETS, RandomModel, first_input, models_for, random_models
from weights import assert_only_weights_change

import irconv
from irconv.errors import BackendError
from irconv.passes.base import Pass
from irconv.passes.catalog import PASSES
from irconv.passes.order import order_passes
from irconv.passes.simplify import Simplify

BOUNDED = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    backend=STEADY,
    suppress_health_check=[
        HealthCheck.filter_too_much, HealthCheck.large_base_example, HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)  # fmt: skip
NOT_DRAWN = {
    "Bernoulli": "random", "Multinomial": "random", "RandomNormal": "random",
    "RandomNormalLike": "random", "RandomUniform": "random",
    "BitCast": "ONNX Runtime has no such operator yet",
    "ImageDecoder": "ONNX Runtime has no such operator",
    "SequenceMap": "it holds a body over sequences, which no pass looks at",
    "RegexFullMatch": "text", "StringConcat": "text", "StringNormalizer": "text",
    "StringSplit": "text",
    "CausalConvWithState": "newer than the drawn opsets", "CumProd": "newer than the drawn opsets",
    "LinearAttention": "newer than the drawn opsets", "SwiGLU": "newer than the drawn opsets",
}  # fmt: skip
"""Standard operators that no random model holds, and why."""
LEAST_OPERATORS = 180
SELDOM = {
    "bind-shapes": "it binds names of sizes that an option gives",
    "decompose-signal": "its golden cases are not grafted: spectra are noise where terms cancel",
    "fit-onnxruntime": "it acts on what ONNX Runtime cannot run, so nothing can be compared",
}
"""Passes that need not act on a model that is made for them, and why."""


def test_other_orders_are_all_reachable() -> None:
    passes = variants()
    ordered = linear_extension(passes[::-1])
    assert sorted(map(str, ordered)) == sorted(map(str, passes))
    assert linear_extension(ordered) == ordered
    firsts = list({pass_.name: pass_ for pass_ in ordered}.values())
    assert order_passes(linear_extension(firsts)) == linear_extension(firsts)


def test_every_pass_takes_part_or_has_a_test_of_its_own() -> None:
    drawn = {pass_.name for pass_ in variants()}
    assert drawn | set(APART) == {cls.name for cls in PASSES}
    assert not drawn & set(APART)


@settings(BOUNDED, max_examples=15)
@given(random=random_models())
def test_models_run_and_pass_the_checker(random: RandomModel) -> None:
    onnx.checker.check_model(random.proto)


@settings(BOUNDED, max_examples=25)
@given(case=cases())
def test_a_few_orders_keep_outputs(case: tuple[RandomModel, list[Pass]]) -> None:
    random, passes = case
    assume(is_usable(random))
    assert_kept(random, passes)


@pytest.mark.slow
@BOUNDED
@given(case=cases())
def test_every_order_keeps_outputs(case: tuple[RandomModel, list[Pass]]) -> None:
    random, passes = case
    assume(is_usable(random))
    assert_kept(random, passes)


@pytest.mark.slow
@BOUNDED
@given(case=cases(exact=True))
def test_bit_exact_passes_in_every_order_change_no_bit(
    case: tuple[RandomModel, list[Pass]],
) -> None:
    random, passes = case
    assert all(is_exact(pass_) for pass_ in passes)
    assume(is_usable(random))
    assert_kept(random, passes)


@pytest.mark.slow
@settings(BOUNDED, max_examples=25)
@given(random=random_models(most=8), data=st.data())
def test_each_pass_alone_keeps_outputs(random: RandomModel, data: st.DataObject) -> None:
    assume(is_usable(random))
    liked = [pass_ for pass_ in variants() if pass_.name in random.favoured]
    others = data.draw(st.lists(st.sampled_from(variants()), max_size=8, unique_by=str))
    for pass_ in (*liked, *others):
        assert_kept(random, [pass_])


@pytest.mark.slow
@BOUNDED
@given(case=lossy_cases())
def test_lossy_passes_in_every_order_leave_a_sound_model(
    case: tuple[RandomModel, list[Pass]],
) -> None:
    random, passes = case
    assume(is_usable(random))
    narrows = any(pass_.name == "narrow-float64" for pass_ in passes)
    assert_sound(random, passes, precision="float32" if narrows else None)


@pytest.mark.slow
@pytest.mark.parametrize("pass_", weight_passes(), ids=str)
def test_passes_that_change_weights_change_nothing_else(pass_: Pass) -> None:
    models = filter(is_usable, models_for(pass_.name, count=60))
    assert sum(assert_only_weights_change(random, pass_) for random in models) > 10


@pytest.mark.slow
@settings(BOUNDED, max_examples=10, phases=[Phase.generate])
@given(random=random_models())
def test_simplify_keeps_outputs(random: RandomModel) -> None:
    assume(is_usable(random))
    try:
        assert_kept(random, [Simplify()])
    except BackendError as error:
        if "onnxsim failed" not in error.what:
            raise


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({pass_.name for pass_ in variants()} - set(SELDOM)))
def test_each_pass_acts_and_keeps_outputs(name: str) -> None:
    acted: list[str] = []
    for random in filter(is_usable, models_for(name, count=24)):
        for pass_ in variants():
            if pass_.name == name:
                acted += assert_kept(random, linear_extension([*_shapes(pass_), pass_]))
    assert any(text.startswith(name) for text in acted)


def _shapes(pass_: Pass) -> list[Pass]:
    """Return what infers shapes, unless that is the pass."""
    return [other for other in variants() if other.name == "infer-shapes" != pass_.name]


def _walk(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from _walk(body.node)


def _drafted(make: Callable[[Draft], object], tries: int) -> set[str]:
    """Return the operators of the first model that takes a draft; of none, nothing."""
    for seed in range(tries):
        assembly = Assembly(OPSETS[seed % len(OPSETS)])
        assembly.attempt(first_input, 0)
        if assembly.attempt(make, seed):
            graphs = [assembly.nodes, *(function.node for function in assembly.functions)]
            return {node.op_type for nodes in graphs for node in _walk(nodes) if not node.domain}
    return set()


@cache
def drawn_operators() -> frozenset[str]:
    """Return the standard operators that models are made of, as found by making them."""
    found = [_drafted(make, 48) for make in (*RECIPES.values(), *BODIES.values())]
    found += [_drafted(partial(graft, name), len(OPSETS)) for name in GRAFTS]
    return frozenset[str]().union(*found) & standard_operators()


def standard_operators() -> frozenset[str]:
    return frozenset(
        schema.name
        for schema in onnx.defs.get_all_schemas()
        if schema.domain == "" and not schema.deprecated
    )


@pytest.mark.slow
def test_models_hold_every_operator_that_a_pass_looks_at() -> None:
    drawn = drawn_operators()
    print(f"{len(drawn)} operators: {' '.join(sorted(drawn))}")
    assert len(drawn) >= LEAST_OPERATORS
    assert standard_operators() - drawn == set(NOT_DRAWN)
    looked_at = _names_in_passes() & standard_operators()
    assert len(looked_at) > 100
    assert looked_at - drawn <= set(NOT_DRAWN)


def _names_in_passes() -> set[str]:
    """Return the texts in the sources of passes, among them the operators they look at."""
    folder = Path(irconv.__file__).parent / "passes"
    return {
        node.value
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_what_the_steady_provider_leaves_out_is_there() -> None:
    own = [name for name, item in vars(SteadyProvider).items() if inspect.isfunction(item)]
    assert own == ["_maybe_draw_constant"]
    assert inspect.isfunction(vars(HypothesisProvider)[own[0]])
