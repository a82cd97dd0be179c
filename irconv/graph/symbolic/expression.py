"""Arithmetic of sizes: polynomials with integer coefficients in what only the run knows.

An expression is kept in one normal form, a sum of products of atoms, so two expressions that are
equal by the rules of rings are equal objects. Atoms are named sizes, unknown sizes, and quotients,
remainders and extrema that the ring does not express; each is an integer of at least 0. Floored
quotients follow Graham, Knuth, Patashnik, *Concrete Mathematics*, section 3.2::

    floor((n m + r) / n)        = m + floor(r / n)
    floor((floor(x / m) + c) / n) = floor((x + c m) / (m n))
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Dim", "Size", "equal", "exact_quotient", "floor_divide", "greater", "is_nonnegative",
    "least_of", "maximum", "minimum", "named_size", "remainder", "unknown_size",
]  # fmt: skip

_MAX_TERMS = 64
"""The most terms of an expression that is followed; a longer one is an unknown size."""


@dataclass(frozen=True)
class Named:
    """A size that the inputs call by a name."""

    name: str


@dataclass(frozen=True)
class Unknown:
    """A size that equals no other; ``number`` tells them apart."""

    number: int


@dataclass(frozen=True)
class Quotient:
    """The floor of a quotient of two sizes."""

    dividend: Dim
    divisor: Dim


@dataclass(frozen=True)
class Remainder:
    """What a division of two sizes leaves."""

    dividend: Dim
    divisor: Dim


@dataclass(frozen=True)
class Least:
    """The least of several sizes."""

    sizes: frozenset[Dim]


@dataclass(frozen=True)
class Greatest:
    """The greatest of several sizes."""

    sizes: frozenset[Dim]


Atom: TypeAlias = Named | Unknown | Quotient | Remainder | Least | Greatest
Monomial: TypeAlias = frozenset[tuple[Atom, int]]
"""A product of atoms, each with its power; the empty one is 1."""
_ONE: Monomial = frozenset()


class Size:
    """A size that is not a number.

    Args:
        terms: By product of atoms, its coefficient; none is 0, and they are no plain integer.
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = dict(terms)
        self._hash = hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self._hash == other._hash and self.terms == other.terms

    def __repr__(self) -> str:
        return f"Size({self.terms})"

    def __str__(self) -> str:
        return " + ".join(_text(product, factor) for product, factor in self.terms.items())

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other, 1)

    def __radd__(self, other: int) -> Dim:
        return _sum(self, other, 1)

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, other, -1)

    def __rsub__(self, other: int) -> Dim:
        return _sum(other, self, -1)

    def __mul__(self, other: Dim) -> Dim:
        products: dict[Monomial, int] = {}
        for one, first in self.terms.items():
            for two, second in _terms(other).items():
                product = _times(one, two)
                products[product] = products.get(product, 0) + first * second
        return _made(products)

    def __rmul__(self, other: int) -> Dim:
        return self * other


Dim: TypeAlias = int | Size
"""A size: a number, or an expression."""


def _text(product: Monomial, factor: int) -> str:
    """Return a term as people write it; what no input names is a question mark."""
    atoms = sorted(
        (atom.name if isinstance(atom, Named) else "?") + (f"^{power}" if power > 1 else "")
        for atom, power in product
    )
    return "*".join(([] if factor == 1 and atoms else [str(factor)]) + atoms)


def named_size(name: str) -> Size:
    """Return the size that a model's inputs call ``name``."""
    return _of_atom(Named(name))


def unknown_size() -> Size:
    """Return a size that equals no other."""
    return _of_atom(Unknown(next(_numbers)))


_numbers = itertools.count()


def _of_atom(atom: Atom) -> Size:
    return Size({frozenset({(atom, 1)}): 1})


def _terms(dim: Dim) -> Mapping[Monomial, int]:
    if isinstance(dim, Size):
        return dim.terms
    return {_ONE: dim} if dim else {}


def _made(terms: Mapping[Monomial, int]) -> Dim:
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    if len(kept) == 1 and _ONE in kept:
        return kept[_ONE]
    return unknown_size() if len(kept) > _MAX_TERMS else Size(kept)


def _sum(first: Dim, second: Dim, sign: int) -> Dim:
    terms = dict(_terms(first))
    for monomial, factor in _terms(second).items():
        terms[monomial] = terms.get(monomial, 0) + sign * factor
    return _made(terms)


def _times(one: Monomial, two: Monomial) -> Monomial:
    if not one or not two:
        return one or two
    powers = dict(one)
    for atom, power in two:
        powers[atom] = powers.get(atom, 0) + power
    return frozenset(powers.items())


def is_nonnegative(dim: Dim) -> bool:
    """Return whether a size is known to be at least 0."""
    return all(factor >= 0 for factor in _terms(dim).values())


def _is_positive(dim: Dim) -> bool:
    return is_nonnegative(dim) and _terms(dim).get(_ONE, 0) > 0


def equal(first: Dim, second: Dim) -> bool | None:
    """Return whether two sizes are equal; None where that is not known."""
    difference = first - second
    if difference == 0:
        return True
    return False if _is_positive(difference) or _is_positive(second - first) else None


def greater(first: Dim, second: Dim) -> bool | None:
    """Return whether one size is greater than another; None where that is not known."""
    if _is_positive(first - second):
        return True
    return False if is_nonnegative(second - first) else None


def minimum(first: Dim, second: Dim) -> Dim | None:
    """Return the lesser of two sizes; None where it may be negative."""
    if is_nonnegative(first - second):
        return second
    if is_nonnegative(second - first):
        return first
    if not (is_nonnegative(first) and is_nonnegative(second)):
        return None
    return _of_atom(Least(frozenset({first, second})))


def maximum(first: Dim, second: Dim) -> Dim | None:
    """Return the greater of two sizes; None where it may be negative."""
    if is_nonnegative(first - second):
        return first
    if is_nonnegative(second - first):
        return second
    if not (is_nonnegative(first) or is_nonnegative(second)):
        return None
    return _of_atom(Greatest(frozenset({first, second})))


def least_of(dim: Dim) -> frozenset[Dim] | None:
    """Return the sizes of which ``dim`` is the least, or None if it is no such expression."""
    if not isinstance(dim, Size) or len(dim.terms) != 1:
        return None
    ((monomial, factor),) = dim.terms.items()
    if factor != 1 or len(monomial) != 1:
        return None
    ((atom, power),) = monomial
    return atom.sizes if isinstance(atom, Least) and power == 1 else None


def exact_quotient(dividend: Dim, divisor: Dim) -> Dim | None:
    """Return the expression that times ``divisor`` is ``dividend``, or None if there is none.

    By long division of polynomials in the lexicographic order of their atoms.
    """
    if divisor == 0:
        return None
    if isinstance(dividend, int) and isinstance(divisor, int):
        return None if dividend % divisor else dividend // divisor
    atoms = {atom for dim in (dividend, divisor) for term in _terms(dim) for atom, _ in term}
    order = tuple(atoms)
    leader, factor = _leading(divisor, order)
    rest: Dim = dividend
    result: Dim = 0
    while rest != 0:
        leading, amount = _leading(rest, order)
        step = _without(leading, leader)
        if step is None or amount % factor:
            return None
        part = _made({step: amount // factor})
        result, rest = result + part, rest - part * divisor
    return result


def _leading(dim: Dim, order: tuple[Atom, ...]) -> tuple[Monomial, int]:
    """Return the term that is greatest by the powers of the atoms, compared in ``order``."""

    def powers(term: tuple[Monomial, int]) -> tuple[int, ...]:
        found = dict(term[0])
        return tuple(found.get(atom, 0) for atom in order)

    return max(_terms(dim).items(), key=powers)


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    """Return the product that times ``factor`` is ``monomial``, or None if there is none."""
    powers = dict(monomial)
    for atom, power in factor:
        powers[atom] = powers.get(atom, 0) - power
        if powers[atom] < 0:
            return None
    return frozenset((atom, power) for atom, power in powers.items() if power)


def floor_divide(dividend: Dim, divisor: Dim) -> Dim | None:
    """Return the quotient of two sizes; None where a sign is not known, so that ONNX may truncate.

    ONNX ``Div`` of integers truncates, which is flooring where neither is negative. A size that
    divides is taken not to be 0, for which ``Div`` defines no result.
    """
    if not (is_nonnegative(dividend) and is_nonnegative(divisor)) or divisor == 0:
        return None
    exact = exact_quotient(dividend, divisor)
    if exact is not None:
        return exact
    if isinstance(divisor, Size):
        return _of_atom(Quotient(dividend, divisor))
    whole = _made({term: factor // divisor for term, factor in _terms(dividend).items()})
    rest = _made({term: factor % divisor for term, factor in _terms(dividend).items()})
    return whole + _proper_quotient(rest, divisor)


def _proper_quotient(dividend: Dim, divisor: int) -> Dim:
    """Return the quotient where every factor of the dividend is less than the divisor."""
    if isinstance(dividend, int):
        return dividend // divisor
    shared = math.gcd(divisor, *(f for term, f in dividend.terms.items() if term != _ONE))
    reduced = _made({term: factor // shared for term, factor in dividend.terms.items()})
    divisor //= shared
    inner = _inner_quotient(reduced)
    if inner is not None:
        numerator, offset = inner
        assert isinstance(numerator.divisor, int)
        return _proper_quotient(
            numerator.dividend + offset * numerator.divisor, divisor * numerator.divisor
        )
    return reduced if divisor == 1 else _of_atom(Quotient(reduced, divisor))


def _inner_quotient(dim: Dim) -> tuple[Quotient, int] | None:
    """Return q and c where ``dim`` is the quotient q by a number, plus the number c."""
    terms = dict(_terms(dim))
    offset = terms.pop(_ONE, 0)
    if len(terms) != 1:
        return None
    ((monomial, factor),) = terms.items()
    if factor != 1 or len(monomial) != 1:
        return None
    ((atom, power),) = monomial
    if power == 1 and isinstance(atom, Quotient) and isinstance(atom.divisor, int):
        return atom, offset
    return None


def remainder(dividend: Dim, divisor: Dim) -> Dim | None:
    """Return what a division leaves; None where a sign is not known."""
    if not (is_nonnegative(dividend) and is_nonnegative(divisor)) or divisor == 0:
        return None
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend % divisor
    if exact_quotient(dividend, divisor) is not None:
        return 0
    return _of_atom(Remainder(dividend, divisor))
