"""Fusing exponentials over their sum into Softmax and LogSoftmax.

By the function bodies of ONNX Softmax and LogSoftmax (along one axis since opset 13)::

    Softmax(x) = exp(x - m) / sum(exp(x - m))          LogSoftmax(x) = log(Softmax(x))

for any m that does not depend on the axis: exporters subtract the maximum, or nothing. A logarithm
of Softmax, and ``z - log(sum(exp(z)))``, are LogSoftmax; an exponential of LogSoftmax is Softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import made_by, number_attribute, operand, pairs, reduced_axes

__all__ = ["FuseSoftmax"]

_OPSET = 13


@dataclass(frozen=True)
class FuseSoftmax(Fusion):
    """Fuse the quotient of exponentials and their sum along one axis, and its logarithm.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <int64[1] last = {-1}> {
            most = ReduceMax (x, last)
            rest = Sub (x, most)
            power = Exp (rest)
            sum = ReduceSum (power, last)
            y = Div (power, sum)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Softmax <axis = 1> (x)
        }
    """

    name: ClassVar[str] = "fuse-softmax"
    anchors: ClassVar[frozenset[str]] = frozenset({"Div", "Mul", "Sub", "Log", "Exp"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator in the place of a quotient, logarithm or exponential."""
        del scope
        return _RULES[node.op_type](node)


def _quotient(node: ir.Node) -> Fused | None:
    """Read Exp(z) / ReduceSum(Exp(z))."""
    return _over_sum(node, operand(node, 0), operand(node, 1))


def _product(node: ir.Node) -> Fused | None:
    """Read Exp(z) * Reciprocal(ReduceSum(Exp(z)))."""
    for power, factor in pairs(node.outputs[0], "Mul"):
        inverse = made_by(factor, "Reciprocal")
        if inverse is not None:
            return _over_sum(node, power, operand(inverse, 0))
    return None


def _over_sum(node: ir.Node, power: ir.Value | None, total: ir.Value | None) -> Fused | None:
    exponential, reduction = made_by(power, "Exp"), made_by(total, "ReduceSum")
    if exponential is None or reduction is None or operand(reduction, 0) is not power:
        return None
    return _along(node, "Softmax", operand(exponential, 0), reduction)


def _difference(node: ir.Node) -> Fused | None:
    """Read z - Log(ReduceSum(Exp(z))) or z - ReduceLogSumExp(z)."""
    exponent, logarithm = operand(node, 0), made_by(operand(node, 1), "Log", "ReduceLogSumExp")
    if logarithm is None:
        return None
    reduction = logarithm
    source = operand(logarithm, 0)
    if logarithm.op_type == "Log":
        found = made_by(source, "ReduceSum")
        power = None if found is None else made_by(operand(found, 0), "Exp")
        if found is None or power is None:
            return None
        reduction, source = found, operand(power, 0)
    return _along(node, "LogSoftmax", exponent, reduction) if source is exponent else None


def _along(
    node: ir.Node, op_type: str, exponent: ir.Value | None, reduction: ir.Node
) -> Fused | None:
    """Return the operator on what the exponents were shifted from."""
    if exponent is None:
        return None
    data = _unshifted(exponent, reduction)
    axes = reduced_axes(reduction, data)
    if len(axes) != 1:
        raise Keep(f"{op_type} takes one axis, and the sum is over {len(axes)}")
    return Fused(op_type, [data], [node.outputs[0]], {"axis": axes[0]}, opset=_OPSET)


def _unshifted(exponent: ir.Value, reduction: ir.Node) -> ir.Value:
    """Return x where the exponent is x less its maximum along the axis; else the exponent."""
    node = made_by(exponent, "Sub")
    data, most = (None, None) if node is None else (operand(node, 0), operand(node, 1))
    maximum = made_by(most, "ReduceMax")
    if data is None or maximum is None or operand(maximum, 0) is not data:
        return exponent
    same = reduced_axes(maximum, data) == reduced_axes(reduction, data)
    return data if same else exponent


def _logarithm(node: ir.Node) -> Fused | None:
    return _after(node, "Softmax", "LogSoftmax")


def _exponential(node: ir.Node) -> Fused | None:
    return _after(node, "LogSoftmax", "Softmax")


def _after(node: ir.Node, inner: str, outer: str) -> Fused | None:
    """Return ``outer`` in the place of a function of ``inner`` that undoes half of it."""
    found = made_by(operand(node, 0), inner)
    data = None if found is None else operand(found, 0)
    if found is None or data is None:
        return None
    axis = number_attribute(found, "axis", -1)
    return Fused(outer, [data], [node.outputs[0]], {"axis": axis}, opset=_OPSET)


_RULES: Mapping[str, Callable[[ir.Node], Fused | None]] = {
    "Div": _quotient,
    "Mul": _product,
    "Sub": _difference,
    "Log": _logarithm,
    "Exp": _exponential,
}
