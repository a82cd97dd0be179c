"""Reading an expression as a polynomial, so that no order of its operations matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.fusions.pattern import operand, scalar

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

    Constants count if they are floats of one element; integers are divided by other rules.

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
        tensor = constant_tensor(value)
        is_float = tensor is not None and tensor.dtype.is_floating_point()
        return _constant(number, len(variables)) if is_float else None
    node = value.producer()
    if node is None or not _is_arithmetic(node):
        return None
    first = polynomial(operand(node, 0), variables, depth - 1)
    if first is None:
        return None
    if node.op_type == "Neg":
        return _product(first, _constant(-1.0, len(variables)))
    if node.op_type in ("Pow", "Div"):
        return _by_number(node.op_type, first, scalar(operand(node, 1)), len(variables))
    second = polynomial(operand(node, 1), variables, depth - 1)
    if second is None:
        return None
    if node.op_type == "Mul":
        return _product(first, second)
    return _sum(first, second, 1.0 if node.op_type == "Add" else -1.0)


def _constant(number: float, count: int) -> Polynomial:
    return {(0,) * count: number} if number else {}


def _by_number(
    op_type: str, base: Polynomial, number: float | None, count: int
) -> Polynomial | None:
    if number is None:
        return None
    if op_type == "Div":
        return None if number == 0 else _product(base, _constant(1 / number, count))
    if number not in range(1, _MAX_DEGREE + 1):
        return None
    result: Polynomial | None = _constant(1.0, count)
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
    """Return whether two polynomials are equal but for the rounding of constants to a dtype.

    Where the dtype is not known, as in local functions, they are to be exact.
    """
    if found is None or (dtype is not None and not dtype.is_floating_point()):
        return False
    rounding = 0.0 if dtype is None else 2 * float(ml_dtypes.finfo(dtype.numpy()).eps)
    rtol = max(_DIGITS, rounding)
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
        if node is not None and _is_arithmetic(node):
            queue += [source for source in node.inputs if source is not None]


def climb(value: ir.Value, steps: int = 4) -> Iterator[ir.Value]:
    """Yield what arithmetic makes of ``value``, step by step, while only one such node reads it.

    What else reads the values is not asked: whoever replaces them has to.
    """
    for _ in range(steps):
        readers = {user for user, _ in value.uses() if _is_arithmetic(user)}
        if len(readers) != 1:
            return
        (node,) = readers
        value = node.outputs[0]
        yield value


def _is_arithmetic(node: ir.Node) -> bool:
    return node.domain == "" and node.op_type in _ARITHMETIC
