"""Reading an expression as a polynomial, so that no order of its operations matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx_ir as ir

from irconv.passes.fusions.pattern import only_reader, operand, scalar

__all__ = ["Polynomial", "agrees", "climb", "leaves", "polynomial"]

Polynomial = Mapping[tuple[int, ...], float]
"""The coefficient of each monomial, which is given by the exponents of the variables."""
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg", "Pow")
_MAX_DEPTH = 8
_MAX_DEGREE = 4
_MAX_LEAVES = 16
_DIGITS = 2e-5
"""Exporters write the root of 2 / pi as 0.7979 at worst."""


def polynomial(
    value: ir.Value | None, variables: Sequence[ir.Value], depth: int = _MAX_DEPTH
) -> Polynomial | None:
    """Return ``value`` as a polynomial in ``variables``, or None where it is none.

    Constants count if they have one element. Terms of coefficient 0 are left out.

    Args:
        value: The value.
        variables: Values that are not looked into.
        depth: How many operations deep to look.
    """
    if value is None or depth == 0:
        return None
    if value in variables:
        return {tuple(int(value is variable) for variable in variables): 1.0}
    number = scalar(value)
    if number is not None:
        return {(0,) * len(variables): number} if number else {}
    node = value.producer()
    if node is None or node.domain != "" or node.op_type not in _ARITHMETIC:
        return None
    first = polynomial(operand(node, 0), variables, depth - 1)
    if first is None:
        return None
    if node.op_type == "Neg":
        return _product(first, {(0,) * len(variables): -1.0})
    if node.op_type in ("Pow", "Div"):
        return _by_number(node.op_type, first, scalar(operand(node, 1)), len(variables))
    second = polynomial(operand(node, 1), variables, depth - 1)
    if second is None:
        return None
    if node.op_type == "Mul":
        return _product(first, second)
    return _sum(first, second, 1.0 if node.op_type == "Add" else -1.0)


def _by_number(
    op_type: str, base: Polynomial, number: float | None, count: int
) -> Polynomial | None:
    if number is None:
        return None
    one: Polynomial = {(0,) * count: 1.0}
    if op_type == "Div":
        return None if number == 0 else _product(base, {(0,) * count: 1 / number})
    if number not in range(1, _MAX_DEGREE + 1):
        return None
    result: Polynomial | None = one
    for _ in range(int(number)):
        result = None if result is None else _product(result, base)
    return result


def _product(first: Polynomial, second: Polynomial) -> Polynomial | None:
    result: dict[tuple[int, ...], float] = {}
    for left, one in first.items():
        for right, other in second.items():
            powers = tuple(a + b for a, b in zip(left, right, strict=True))
            result[powers] = result.get(powers, 0.0) + one * other
    return None if any(sum(powers) > _MAX_DEGREE for powers in result) else result


def _sum(first: Polynomial, second: Polynomial, sign: float) -> Polynomial:
    result = dict(first)
    for powers, number in second.items():
        result[powers] = result.get(powers, 0.0) + sign * number
    return result


def agrees(found: Polynomial | None, expected: Polynomial, dtype: ir.DataType | None) -> bool:
    """Return whether two polynomials are equal but for the rounding of constants to a dtype."""
    if found is None or dtype is None or not dtype.is_floating_point():
        return False
    rtol = max(_DIGITS, 2 * float(ml_dtypes.finfo(dtype.numpy()).eps))
    terms = {powers: number for powers, number in found.items() if number}
    return terms.keys() == expected.keys() and all(
        bool(np.isclose(number, expected[powers], rtol=rtol, atol=0))
        for powers, number in terms.items()
    )


def leaves(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield every value from which arithmetic with numbers may have made ``value``.

    ``value`` itself comes first, then its operands, level by level.
    """
    queue = [] if value is None else [value]
    seen: set[ir.Value] = set()
    while queue and len(seen) < _MAX_LEAVES:
        item = queue.pop(0)
        if item in seen or scalar(item) is not None:
            continue
        seen.add(item)
        yield item
        node = item.producer()
        if node is not None and node.domain == "" and node.op_type in _ARITHMETIC:
            queue += [source for source in node.inputs if source is not None]


def climb(value: ir.Value, steps: int = 4) -> Iterator[ir.Value]:
    """Yield what arithmetic makes of ``value``, step by step, while nothing else reads it."""
    for _ in range(steps):
        node = only_reader(value, *_ARITHMETIC)
        if node is None:
            return
        value = node.outputs[0]
        yield value
