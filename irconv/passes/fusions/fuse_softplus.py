"""Fusing ``Log(1 + Exp(x))`` into Softplus.

By the function body of ONNX Softplus (since opset 1). Against overflow torch takes x itself above
a threshold t. Softplus needs no such care, and where exp(-t) is less than a quarter of a unit in
the last place of t, x is what softplus(x) = x + log(1 + exp(-x)) rounds to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import ml_dtypes
import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import made_by, operand, scalar, shifted

__all__ = ["FuseSoftplus"]


@dataclass(frozen=True)
class FuseSoftplus(Fusion):
    """Fuse the logarithm of 1 plus an exponential.

    The exponential overflows where x is large, and the operator does not. A choice of x itself
    where it is large goes too.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float one = {1.0}> {
            power = Exp (x)
            sum = Add (power, one)
            y = Log (sum)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y) {
            y = Softplus (x)
        }
    """

    name: ClassVar[str] = "fuse-softplus"
    anchors: ClassVar[frozenset[str]] = frozenset({"Log", "Where"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator in the place of a logarithm; see :class:`Fusion`."""
        del scope
        data = _large(node) if node.op_type == "Where" else _logarithm(node)
        return None if data is None else Fused("Softplus", [data], [node.outputs[0]])


def _logarithm(node: ir.Node) -> ir.Value | None:
    """Return x where a node computes log(1 + exp(x))."""
    total = shifted(operand(node, 0))
    power = None if total is None or total[1] != 1 else made_by(total[0], "Exp")
    return None if power is None else operand(power, 0)


def _large(node: ir.Node) -> ir.Value | None:
    """Return x where a node chooses x if x > t, else Softplus(x)."""
    condition, data = made_by(operand(node, 0), "Greater"), operand(node, 1)
    soft = made_by(operand(node, 2), "Softplus")
    if condition is None or soft is None or data is None or operand(soft, 0) is not data:
        return None
    threshold = scalar(operand(condition, 1))
    if threshold is None or operand(condition, 0) is not data:
        return None
    if data.dtype is None or not data.dtype.is_floating_point():
        raise Keep(f"the dtype of {data.name!r} is unknown; run infer-shapes first")
    last_place = float(ml_dtypes.finfo(data.dtype.numpy()).eps) * threshold / 2
    if threshold <= 0 or math.exp(-threshold) >= last_place / 4:
        raise Keep(f"above {threshold:g} x is not what softplus(x) rounds to in {data.dtype}")
    return data
