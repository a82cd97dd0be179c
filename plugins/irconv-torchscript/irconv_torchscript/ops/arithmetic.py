"""Arithmetic of two and more operands (ONNX "Operators": Add … Sum)."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import UNSIGNED, WIDTHS
from irconv_torchscript.held import Held, Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from collections.abc import Callable

    from irconv_torchscript.site import Site

__all__ = ["int_operands", "wrapped"]

_UINT64 = ir.DataType.UINT64


def wrapped(site: Site, node: Node, dtype: ir.DataType) -> Node:
    """Return integers modulo the width of an unsigned dtype that lives in a wider one."""
    width = WIDTHS.get(dtype, 64)
    return node if width == 64 else site.torch("bitwise_and", node, (1 << width) - 1)


def int_operands(site: Site) -> tuple[list[list[Any]], bool] | None:
    """Return the integers of all operands, broadcast, if they are known one by one.

    Returns:
        The items of each operand, and whether the result is a scalar; None where an operand is
        a tensor, or all are constants.
    """
    values = [site.value(index) for index in range(site.count)]
    if any(value is None or value.dtype != ir.DataType.INT64 for value in values):
        return None
    held = [site.held(index) for index in range(site.count)]
    rows = [entry.ints for entry in held]
    if any(row is None for row in rows) or all(site.const(i) is not None for i in range(len(rows))):
        return None
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths - {1}) > 1:
        return None
    size = max(lengths - {1}, default=1)
    if 0 in lengths:
        return None
    full = [row * size if len(row) == 1 else row for row in rows if row is not None]
    return full, all(entry.scalar for entry in held)


def _by_items(site: Site, function: Callable[..., Any]) -> Held | None:
    found = int_operands(site)
    if found is None:
        return None
    rows, scalar = found
    items = []
    for operands in zip(*rows, strict=True):
        if all(isinstance(item, int) for item in operands):
            items.append(function(*operands))
        else:
            items.append(site.builder.fx.call_function(function, operands))
    return Held(ints=items, scalar=scalar)


@emits("Add", "Sub", "Mul", dtypes=UNSIGNED)
def add_sub_mul(site: Site) -> Any:
    """Sections Add, Sub, Mul: torch.add, sub, mul; integers wrap around."""
    name = {"Add": "add", "Sub": "sub", "Mul": "mul"}[site.node.op_type]
    items = _by_items(site, getattr(operator, name))
    if items is not None:
        return items
    return wrapped(site, site.torch(name, site.tensor(0), site.tensor(1)), site.dtype())


@emits("Div", dtypes=UNSIGNED)
def div(site: Site) -> Any:
    """Section Div: torch.div; integers are divided toward zero."""
    from irconv_torchscript.kernels.shapes import divide_toward_zero

    items = _by_items(site, divide_toward_zero)
    if items is not None:
        return items
    if site.dtype() == _UINT64:
        return site.call("unsigned.divide", site.tensor(0), site.tensor(1))
    if site.dtype().is_integer():
        return site.torch("div", site.tensor(0), site.tensor(1), rounding_mode="trunc")
    return site.torch("div", site.tensor(0), site.tensor(1))


@emits("Mod", dtypes=UNSIGNED)
def mod(site: Site) -> Any:
    """Section Mod: torch.remainder, whose sign is the divisor's, or torch.fmod."""
    items = None if site.attr("fmod", 0) else _by_items(site, operator.mod)
    if items is not None:
        return items
    if site.dtype() == _UINT64:
        return site.call("unsigned.remainder", site.tensor(0), site.tensor(1))
    return site.torch("fmod" if site.attr("fmod", 0) else "remainder", *site.tensors())


@emits("Pow", dtypes=UNSIGNED)
def power(site: Site) -> Node:
    """Section Pow: torch.pow; the result has the dtype of the base."""
    base, exponent = site.tensors()
    if site.dtype() == site.dtype(1) and not site.dtype().is_integer():
        return site.torch("pow", base, exponent)
    found = site.call("elementwise.power", base, exponent)
    return wrapped(site, found, site.dtype())


@emits("Max", "Min", dtypes=UNSIGNED)
def extremum(site: Site) -> Any:
    """Sections Max, Min: torch.maximum, minimum, which pass NaN on."""
    largest = site.node.op_type == "Max"
    if site.count == 2 and not site.node.outputs[0].is_graph_output():
        items = _by_items(site, _larger if largest else _smaller)
        if items is not None and all(isinstance(item, int) for item in items.ints or ()):
            return items
    values = site.tensors()
    flips = site.dtype() == _UINT64
    if flips:
        values = [site.call("unsigned.flip", value) for value in values]
    result = values[0]
    for value in values[1:]:
        result = site.torch("maximum" if largest else "minimum", result, value)
    return site.call("unsigned.flip", result) if flips else result


def _larger(a: int, b: int) -> int:
    return a if a > b else b


def _smaller(a: int, b: int) -> int:
    return a if a < b else b


@emits("Sum", "Mean")
def variadic(site: Site) -> Node:
    """Sections Sum, Mean: repeated torch.add."""
    values = site.tensors()
    result = values[0]
    for value in values[1:]:
        result = site.torch("add", result, value)
    return site.torch("div", result, len(values)) if site.node.op_type == "Mean" else result


@emits("Neg")
def neg(site: Site) -> Any:
    """Section Neg: torch.neg."""
    return _by_items(site, operator.neg) or site.torch("neg", site.tensor(0))


@emits("Clip", dtypes=UNSIGNED)
def clip(site: Site) -> Node:
    """Section Clip: torch.clamp with tensors as bounds; the upper one wins."""
    value, low, high = site.tensor(0), site.tensor(1), site.tensor(2)
    if low is None and high is None:
        return value
    if site.dtype() == _UINT64:
        bounds = [None if b is None else site.call("unsigned.flip", b) for b in (low, high)]
        flipped = site.call("unsigned.flip", value)
        return site.call("unsigned.flip", site.torch("clamp", flipped, *bounds))
    scalars = [_plain(site, index) for index in (1, 2)]
    if all(
        bound is not None or not site.given(i) for i, bound in zip((1, 2), scalars, strict=True)
    ):
        return site.torch("clamp", value, *scalars)
    return site.call("elementwise.clip", value, low, high)


def _plain(site: Site, index: int) -> float | int | None:
    array = site.const(index)
    if array is None:
        return None
    item = (
        array.reshape(-1)[0].item() if array.dtype.isbuiltin == 1 else float(array.reshape(-1)[0])
    )
    return item if -1e18 < item < 1e18 or isinstance(item, float) else None


@emits("Where", dtypes=UNSIGNED)
def where(site: Site) -> Node:
    """Section Where: torch.where."""
    return site.torch("where", *site.tensors())
