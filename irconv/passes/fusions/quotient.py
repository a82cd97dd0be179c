"""Where a value is divided by the root of a variance or of a mean of squares.

Exporters write the quotient y of u = x - mean (or of x itself) by r = sqrt(v + epsilon) as

* ``u / r``, ``u * (1 / r)`` or ``u * Reciprocal(r)``;
* ``u * s`` with the scale taken in first: s = (1 / r) * scale or scale / r;
* ``x * s - mean * s``, in any order and sign, and with a bias among the terms (Keras).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.affine import Affine
from irconv.passes.fusions.moments import Spread, difference_from_mean, is_mean, spread_of
from irconv.passes.fusions.pattern import made_by, only_reader, operand, pairs, rank, scalar

__all__ = ["last_axes", "quotient_at"]

_MAX_TERMS = 4


def quotient_at(node: ir.Node, *, centred: bool) -> tuple[Spread, Affine] | None:
    """Return what an inverse root is of, and the quotient by the root.

    Args:
        node: Sqrt, or Pow with exponent -0.5; other nodes give None.
        centred: Whether the root is to be of a variance, not of a mean of squares.

    Raises:
        Keep: If the root comes near, but is of another form or read by something else.
    """
    if node.op_type == "Pow" and scalar(operand(node, 1)) != -0.5:
        return None
    spread = spread_of(operand(node, 0))
    if spread is None or spread.centred != centred:
        return None
    return spread, _quotient(node, spread)


def last_axes(spread: Spread) -> tuple[int, ...]:
    """Return the axes of a mean.

    Raises:
        Keep: If they are not the last ones.
    """
    count, axes = rank(spread.data) or 0, spread.axes
    if axes != tuple(range(count - len(axes), count)):
        raise Keep(f"the axes {list(axes)} are not the last ones of rank {count}")
    return axes


def _quotient(node: ir.Node, spread: Spread) -> Affine:
    """Return the quotient by the root that ``node`` computes, and what was taken in before it."""
    root = node.outputs[0]
    reader = only_reader(root, "Div", "Reciprocal") if node.op_type == "Sqrt" else None
    if reader is not None and reader.op_type == "Div" and scalar(operand(reader, 0)) != 1:
        dividend = operand(reader, 0)
        if operand(reader, 1) is root and dividend is not None:
            if _is_unit(dividend, spread):
                return Affine(reader.outputs[0])
            scaled = _product(Affine(reader.outputs[0], dividend), spread)
            if scaled is not None:
                return scaled
        raise Keep(f"what is divided by {root.name!r} is not what its variance is of")
    if node.op_type == "Sqrt" and reader is None:
        raise Keep(f"{root.name!r} is read by something else than one division")
    inverse = root if reader is None else reader.outputs[0]
    for factor in _factors(inverse):
        found = _product(factor, spread)
        if found is not None:
            return found
    raise Keep(f"{inverse.name!r} does not multiply what its variance is of")


def _is_unit(value: ir.Value, spread: Spread) -> bool:
    """Whether a value is x - mean, or x where the spread is no variance."""
    if not spread.centred:
        return value is spread.data
    pair = difference_from_mean(value)
    return pair is not None and pair[0] is spread.data and _is_mean(pair[1], spread)


def _is_mean(value: ir.Value, spread: Spread) -> bool:
    return is_mean(value, spread.data, spread.axes)


def _factors(inverse: ir.Value) -> Iterator[Affine]:
    """Yield 1 / r, then 1 / r multiplied by a scale."""
    yield Affine(inverse)
    node = only_reader(inverse, "Mul")
    if node is not None and len(node.inputs) == 2:
        scale = node.inputs[1] if node.inputs[0] is inverse else node.inputs[0]
        yield Affine(node.outputs[0], scale)


def _product(factor: Affine, spread: Spread) -> Affine | None:
    """Return the quotient that ``factor`` makes, as a product or as a difference of products."""
    value = factor.output
    for node in {user: None for user, _ in value.uses()}:
        if node.domain != "" or node.op_type != "Mul":
            continue
        for first, other in pairs(node.outputs[0], "Mul"):
            if first is not value:
                continue
            if _is_unit(other, spread):
                return replace(factor, output=node.outputs[0])
            if spread.centred and other is spread.data:
                return _difference(node.outputs[0], factor, spread)
    return None


def _difference(product: ir.Value, factor: Affine, spread: Spread) -> Affine | None:
    """Return x * s - mean * s, perhaps with a bias, given x * s."""
    total: ir.Value = product
    while (node := only_reader(total, "Add", "Sub")) is not None:
        total = node.outputs[0]
        terms = list(_terms(total, 1, product))
        if len(terms) > _MAX_TERMS:
            return None
        rest = [term for term in terms if term != (1, product)]
        means = [term for term in rest if _is_mean_term(*term, factor.output, spread)]
        if len(rest) + 1 != len(terms) or len(means) != 1:
            continue
        rest.remove(means[0])
        if not rest:
            return replace(factor, output=total)
        (sign, bias), *more = rest
        return replace(factor, output=total, bias=bias) if sign == 1 and not more else None
    return None


def _terms(value: ir.Value, sign: int, product: ir.Value) -> Iterator[tuple[int, ir.Value]]:
    """Yield the signed terms of a sum of sums, two deep; ``product`` is not looked into."""
    for part_sign, part in _split(value, sign):
        if part is product:
            yield part_sign, part
        else:
            yield from _split(part, part_sign)


def _split(value: ir.Value, sign: int) -> Iterator[tuple[int, ir.Value]]:
    node = made_by(value, "Add", "Sub")
    first, second = (None, None) if node is None else (operand(node, 0), operand(node, 1))
    if node is None or first is None or second is None:
        yield sign, value
        return
    yield sign, first
    yield (sign if node.op_type == "Add" else -sign), second


def _is_mean_term(sign: int, term: ir.Value, factor: ir.Value, spread: Spread) -> bool:
    """Whether a signed term is -(mean * s)."""
    for mean, other in pairs(term, "Mul"):
        if other is not factor:
            continue
        negation = made_by(mean, "Neg")
        inner = mean if negation is None else operand(negation, 0)
        if inner is not None and _is_mean(inner, spread):
            return (sign == -1) == (negation is None)
    return False
