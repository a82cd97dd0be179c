"""Expressions of sizes equal the arithmetic that they stand for, at every value of the sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irconv.graph.symbolic.expression import (
    Dim,
    Greatest,
    Least,
    Named,
    Quotient,
    Remainder,
    Size,
    equal,
    exact_quotient,
    floor_divide,
    greater,
    is_nonnegative,
    maximum,
    minimum,
    named_size,
    remainder,
    unknown_size,
)

N, S = named_size("N"), named_size("S")
Operation = tuple[Callable[[Dim, Dim], Dim | None], Callable[[int, int], int]]
_OPERATIONS: Mapping[str, Operation] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (floor_divide, operator.floordiv),
    "%": (remainder, operator.mod),
    "min": (minimum, min),
    "max": (maximum, max),
}


def value_at(dim: Dim, sizes: Mapping[str, int]) -> int:
    """Return the number that ``dim`` is where the named sizes are those of ``sizes``."""
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, factor in dim.terms.items():
        product = factor
        for atom, power in monomial:
            product *= _atom_at(atom, sizes) ** power
        total += product
    return total


def _atom_at(atom: object, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, Named):
        return sizes[atom.name]
    if isinstance(atom, Quotient):
        return value_at(atom.dividend, sizes) // value_at(atom.divisor, sizes)
    if isinstance(atom, Remainder):
        return value_at(atom.dividend, sizes) % value_at(atom.divisor, sizes)
    if isinstance(atom, Least):
        return min(value_at(size, sizes) for size in atom.sizes)
    assert isinstance(atom, Greatest)
    return max(value_at(size, sizes) for size in atom.sizes)


_trees = st.recursive(
    st.sampled_from(["N", "S"]) | st.integers(0, 9),
    lambda parts: st.tuples(st.sampled_from(sorted(_OPERATIONS)), parts, parts),
    max_leaves=7,
)
_sizes = st.fixed_dictionaries({"N": st.integers(1, 40), "S": st.integers(1, 40)})


def _expression(tree: object) -> Dim | None:
    if isinstance(tree, str):
        return named_size(tree)
    if isinstance(tree, int):
        return tree
    assert isinstance(tree, tuple)
    name, left, right = tree
    first, second = _expression(left), _expression(right)
    if first is None or second is None:
        return None
    return _OPERATIONS[name][0](first, second)


def _number(tree: object, sizes: Mapping[str, int]) -> int:
    if isinstance(tree, str):
        return sizes[tree]
    if isinstance(tree, int):
        return tree
    assert isinstance(tree, tuple)
    name, left, right = tree
    return _OPERATIONS[name][1](_number(left, sizes), _number(right, sizes))


@given(_trees, _sizes)
def test_an_expression_has_the_value_of_its_operations(
    tree: object, sizes: Mapping[str, int]
) -> None:
    dim = _expression(tree)
    try:
        expected = _number(tree, sizes)
        found = None if dim is None else value_at(dim, sizes)
    except ZeroDivisionError:
        return
    if found is not None:
        assert found == expected


@given(_trees, _trees, _sizes)
def test_what_is_known_of_two_sizes_holds(
    one: object, two: object, sizes: Mapping[str, int]
) -> None:
    first, second = _expression(one), _expression(two)
    if first is None or second is None:
        return
    try:
        left, right = value_at(first, sizes), value_at(second, sizes)
    except ZeroDivisionError:
        return
    assert equal(first, second) in (None, left == right)
    assert greater(first, second) in (None, left > right)
    if is_nonnegative(first):
        assert left >= 0
    quotient = exact_quotient(first, second)
    if quotient is not None:
        assert value_at(quotient, sizes) * right == left


@pytest.mark.parametrize(
    ("dim", "expected"),
    [
        (floor_divide(32 * N * S, 8), 4 * (N * S)),
        (floor_divide(2 * N + 1, 2), N),
        (floor_divide(4 * N + 6, 4), N + 1),
        (exact_quotient(N * S + N, S + 1), N),
        (exact_quotient((N + 2) * (S + 3) * 5, (S + 3) * 5), N + 2),
        (exact_quotient(N * S + 1, S), None),
        (exact_quotient(3 * N, 2), None),
        (N - N, 0),
        ((N + 1) * (N + 1), N * N + 2 * N + 1),
        (minimum(N, N + 1), N),
        (maximum(N, 0), N),
        (remainder(6 * N, 3), 0),
        (floor_divide(N - 1, 2), None),
    ],
)
def test_normal_forms(dim: Dim | None, expected: Dim | None) -> None:
    assert dim == expected


def test_quotients_of_quotients_are_one_quotient() -> None:
    half = floor_divide(N + 1, 2)
    assert half is not None

    assert floor_divide(half + 1, 2) == floor_divide(N + 3, 4)


def test_unknown_sizes_are_equal_to_nothing_else() -> None:
    one = unknown_size()

    assert equal(one, one) is True
    assert equal(one, unknown_size()) is None
    assert one != unknown_size()


def test_a_long_expression_is_not_followed() -> None:
    dim: Dim = 1
    for index in range(20):
        dim = dim * (named_size(f"d{index}") + 1)

    assert isinstance(dim, Size)
    assert len(dim.terms) <= 64
