"""Operators of two operands that are broadcast, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_SAME: Mapping[str, str] = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow",
    "STABLEHLO_ADD": "Add", "STABLEHLO_SUBTRACT": "Sub", "STABLEHLO_MULTIPLY": "Mul",
    "STABLEHLO_MAXIMUM": "Max", "STABLEHLO_MINIMUM": "Min",
}  # fmt: skip
_COMPARISONS: Mapping[str, str] = {
    "EQUAL": "Equal", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual", "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
}  # fmt: skip
_LOGIC: Mapping[str, str] = {"LOGICAL_AND": "And", "LOGICAL_OR": "Or"}
_FLOATS = ("float32", "float16", "float64", "bfloat16")


@converts(*_SAME)
def same(site: Site) -> None:
    """Operators that ONNX has as they are."""
    _binary(site, lambda a, b: site.nodes.op(_SAME[site.code], a, b))


@converts("DIV")
def div(site: Site) -> None:
    """DIV: Div, towards zero for integers in both."""
    _binary(site, lambda a, b: site.nodes.op("Div", a, b))


@converts("FLOOR_DIV")
def floor_div(site: Site) -> None:
    """FLOOR_DIV: Floor of Div; of integers the quotient less one where the rest differs in sign."""
    nodes, dtype = site.nodes, site.input(0).tensor.dtype

    def floats(a: ir.Value, b: ir.Value) -> ir.Value:
        return nodes.op("Floor", nodes.op("Div", a, b))

    def integers(a: ir.Value, b: ir.Value) -> ir.Value:
        rest = nodes.op("Mod", a, b)
        return nodes.op("Div", nodes.op("Sub", a, rest), b)

    _binary(site, floats if _is_real(site) or dtype in _FLOATS else integers)


@converts("FLOOR_MOD")
def floor_mod(site: Site) -> None:
    """FLOOR_MOD: Mod with the sign of the divisor; of floats from Mod with that of the dividend."""
    nodes, dtype = site.nodes, site.input(0).tensor.dtype

    def floats(a: ir.Value, b: ir.Value) -> ir.Value:
        rest = nodes.op("Mod", a, b, fmod=1)
        zero = nodes.constant(0, dtype)
        differs = nodes.op("Xor", nodes.op("Less", rest, zero), nodes.op("Less", b, zero))
        some = nodes.op("Not", nodes.op("Equal", rest, zero))
        return nodes.op("Where", nodes.op("And", differs, some), nodes.op("Add", rest, b), rest)

    _binary(site, floats if dtype in _FLOATS else lambda a, b: nodes.op("Mod", a, b))


@converts("SQUARED_DIFFERENCE")
def squared_difference(site: Site) -> None:
    """SQUARED_DIFFERENCE: Sub, and Mul by itself."""

    def function(a: ir.Value, b: ir.Value) -> ir.Value:
        difference = site.nodes.op("Sub", a, b)
        return site.nodes.op("Mul", difference, difference)

    _binary(site, function)


@converts("ATAN2")
def atan2(site: Site) -> None:
    """ATAN2: Atan of the quotient, moved into the quadrant of the operands."""
    nodes = site.nodes

    def function(y: ir.Value, x: ir.Value) -> ir.Value:
        zero, half, pi = (
            nodes.constant(number, "float32") for number in (0.0, math.pi / 2, math.pi)
        )
        atan = nodes.op("Atan", nodes.op("Div", y, x))
        turn = nodes.op("Where", nodes.op("Less", y, zero), nodes.op("Neg", pi), pi)
        moved = nodes.op("Add", atan, turn)
        off_axis = nodes.op("Where", nodes.op("Less", x, zero), moved, atan)
        upright = nodes.op("Mul", nodes.op("Sign", y), half)
        return nodes.op("Where", nodes.op("Equal", x, zero), upright, off_axis)

    _binary(site, function)


@converts(*_COMPARISONS, "NOT_EQUAL")
def compare(site: Site) -> None:
    """Comparisons of numbers, quantized or not, and of truth values."""
    nodes = site.nodes

    def function(a: ir.Value, b: ir.Value) -> ir.Value:
        if site.code == "NOT_EQUAL":
            return nodes.op("Not", nodes.op("Equal", a, b))
        return nodes.op(_COMPARISONS[site.code], a, b)

    _binary(site, function)


@converts(*_LOGIC)
def logic(site: Site) -> None:
    """Logical operators."""
    _binary(site, lambda a, b: site.nodes.op(_LOGIC[site.code], a, b))


@converts("STABLEHLO_AND", "STABLEHLO_OR", "BITWISE_XOR")
def bits(site: Site) -> None:
    """Operators on bits, which are logical ones on truth values."""
    name = {"STABLEHLO_AND": "And", "STABLEHLO_OR": "Or", "BITWISE_XOR": "Xor"}[site.code]
    logical = site.input(0).tensor.dtype == "bool"
    _binary(site, lambda a, b: site.nodes.op(name if logical else f"Bitwise{name}", a, b))


@converts("RIGHT_SHIFT", "STABLEHLO_SHIFT_LEFT")
def shift(site: Site) -> None:
    """Shifts of bits; ONNX has them for unsigned integers only."""
    dtype = site.input(0).tensor.dtype
    left = site.code == "STABLEHLO_SHIFT_LEFT"
    nodes = site.nodes
    if not left and not dtype.startswith("uint"):
        _binary(site, lambda a, b: _signed_right_shift(site, a, b, dtype))
        return
    unsigned = dtype if dtype.startswith("uint") else f"u{dtype}"

    def function(a: ir.Value, b: ir.Value) -> ir.Value:
        a, b = (nodes.cast(value, unsigned) for value in (a, b))
        shifted = nodes.op("BitShift", a, b, direction="LEFT" if left else "RIGHT")
        return nodes.cast(shifted, dtype)

    _binary(site, function)


def _signed_right_shift(site: Site, a: ir.Value, b: ir.Value, dtype: str) -> ir.Value:
    """Shift the bits of a negative number inverted, so that ones come in from the left."""
    nodes = site.nodes
    negative = nodes.op("Less", a, nodes.constant(0, dtype))
    plain = nodes.op("Where", negative, nodes.op("BitwiseNot", a), a)
    operands = (nodes.cast(value, f"u{dtype}") for value in (plain, b))
    shifted = nodes.cast(nodes.op("BitShift", *operands, direction="RIGHT"), dtype)
    return nodes.op("Where", negative, nodes.op("BitwiseNot", shifted), shifted)


@converts("ADD_N")
def add_n(site: Site) -> None:
    """ADD_N: Sum."""
    first = site.follows_first(*site.inputs)
    values = [edge.real(first=first) for edge in site.inputs]
    total = values[0]
    for value in values[1:]:
        total = site.nodes.op("Add", total, value)
    site.write(total, first=first)


@converts("SELECT", "SELECT_V2")
def select(site: Site) -> None:
    """SELECT: Where; the old one has a condition for each row."""
    condition, yes, no = (site.input(index) for index in range(3))
    rank = max(edge.rank for edge in site.inputs)
    rows = site.code == "SELECT" and condition.rank == 1 and rank > 1
    first = not rows and site.follows_first(*site.inputs)
    test = site.operand(condition, rank, first=first)
    if rows:
        test = site.nodes.unsqueeze(test, *range(1, rank))
    raw = all(edge.quantization == yes.quantization for edge in (no, site.output()))
    values = [site.operand(edge, rank, first=first, raw=raw) for edge in (yes, no)]
    value = site.nodes.op("Where", test, *values)
    if raw:
        site.output().set_raw(value, first=first)
    else:
        site.write(value, first=first)


def _is_real(site: Site) -> bool:
    return site.input(0).quantization is not None


def _binary(site: Site, function: Callable[[ir.Value, ir.Value], ir.Value]) -> None:
    a, b = site.input(0), site.input(1)
    if "complex" in a.tensor.dtype:
        raise RefusalError("ONNX has no complex numbers")
    rank = max(a.rank, b.rank)
    full = [edge for edge in (a, b) if edge.rank == rank]
    first = site.follows_first(*full)
    value = function(site.operand(a, rank, first=first), site.operand(b, rank, first=first))
    if site.output().tensor.dtype == "bool":
        site.output().set_raw(value, first=first)
    else:
        site.write(value, first=first)
