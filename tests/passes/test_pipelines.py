"""The pipelines behind -O, --passes, --quantize and --prune."""

from __future__ import annotations

import pytest

from irconv.errors import UsageError
from irconv.passes.pipelines import (
    MAX_ROUNDS,
    build_pipeline,
    default_pipeline,
    relaxed_passes,
    resolve_pipeline,
)
from irconv.plugins import Registry
from irconv.shapes import parse_shapes
from irconv.spec import parse_spec


@pytest.fixture(scope="module")
def registry() -> Registry:
    from irconv import builtins

    return Registry([("irconv (built-in)", "builtins", lambda: builtins)])


def texts(registry: Registry, *arguments: object, **options: object) -> list[str]:
    return [str(item) for item in resolve_pipeline(registry, *arguments, **options)]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_builds_and_repeats_a_few_times(registry: Registry, level: int) -> None:
    specs = default_pipeline(level)
    assert [str(item) for item in build_pipeline(registry, specs)] == list(specs)
    assert 2 <= MAX_ROUNDS <= 10


def test_levels_grow() -> None:
    assert default_pipeline(0) == ()
    first, second = ({parse_spec(text).name for text in default_pipeline(n)} for n in (1, 2))
    assert first < second
    assert {*default_pipeline(2)} <= {*default_pipeline(3)}
    added = {parse_spec(text).name for text in default_pipeline(3)} - second
    assert added <= relaxed_passes()
    with pytest.raises(UsageError):
        default_pipeline(4)


def test_level_one_is_bit_exact(registry: Registry) -> None:
    assert {item.effect for item in build_pipeline(registry, default_pipeline(1))} == {"bit-exact"}
    effects = {item.effect for item in build_pipeline(registry, default_pipeline(2))}
    assert effects == {"bit-exact", "real-arithmetic"}


def test_shapes_with_one_size_are_bound_first(registry: Registry) -> None:
    assert texts(registry, 0, shapes=parse_shapes(["batch=4"])) == ["bind-shapes"]
    assert texts(registry, 0, shapes=parse_shapes(["batch=1..4"])) == []


def test_passes_replace_the_level(registry: Registry) -> None:
    made = texts(registry, 2, "eliminate-identity,prune-magnitude{sparsity=0.5}")
    assert made == ["eliminate-identity", "prune-magnitude{sparsity=0.5}"]
    assert texts(registry, 2, "") == []


@pytest.mark.parametrize(
    ("prune", "expected"),
    [
        ("magnitude{sparsity=0.5}", "prune-magnitude{sparsity=0.5}"),
        ("prune-magnitude{threshold=0.1}", "prune-magnitude{threshold=0.1}"),
    ],
)
def test_prune_texts(registry: Registry, prune: str, expected: str) -> None:
    assert texts(registry, 0, prune=prune) == [expected]


@pytest.mark.parametrize(
    ("quantize", "expected"),
    [
        ("weights-int8", "quantize-weights"),
        ("weights-int8{symmetric=false}", "quantize-weights{symmetric=false}"),
        ("quantize-weights{per-channel=false}", "quantize-weights{per_channel=false}"),
    ],
)
def test_quantize_texts(registry: Registry, quantize: str, expected: str) -> None:
    made = texts(registry, 0, quantize=quantize, prune="magnitude{sparsity=0.5}")
    assert made == ["prune-magnitude{sparsity=0.5}", expected]


@pytest.mark.parametrize(
    "options",
    [
        {"quantize": "int4"},
        {"quantize": "eliminate-identity"},
        {"quantize": "weights-int8{bits=4}"},
        {"prune": "everything"},
        {"prune": "magnitude"},
        {"prune": "magnitude{sparsity=0.5,threshold=1}"},
        {"passes": "no-such-pass"},
        {"passes": "eliminate-identity{"},
    ],
)
def test_what_does_not_exist_is_a_usage_error(registry: Registry, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_pipeline(registry, 2, **options)
    assert str(caught.value)
