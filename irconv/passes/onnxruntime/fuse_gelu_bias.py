"""Fusing a bias and the tanh approximation of Gelu into ONNX Runtime's FastGelu.

FastGelu (domain com.microsoft, since 1) computes Gelu(x + bias) with ``approximate = "tanh"``, for
a bias that runs along the last axis. Measured with ONNX Runtime 1.32, its optimizer off, on 32 to
512 rows of 3072: 0.86 to 0.89 of the time. Without a bias it takes as long as Gelu, and BiasGelu,
which has the exact form, takes as long as Add and Gelu or up to 1.1 times; both are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.base import Fusion
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import dims_of, operand, pairs
from irconv.passes.onnxruntime.domain import CONTRIB, require_float32

__all__ = ["FuseGeluBias"]


@dataclass(frozen=True)
class FuseGeluBias(Fusion):
    """Fuse Gelu by tanh with the bias before it.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float[4] b = {0.0, 1.0, 2.0, 3.0}> {
            biased = Add (b, x)
            y = Gelu <approximate = "tanh"> (biased)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1] >
        g (float[N, 4] x) => (float[N, 4] y)
        <float[4] b = {0.0, 1.0, 2.0, 3.0}> {
            y = com.microsoft.FastGelu (x, b)
        }
    """

    name: ClassVar[str] = "fuse-gelu-bias"
    after: ClassVar[tuple[str, ...]] = (*Fusion.after, "fuse-gelu")
    anchors: ClassVar[frozenset[str]] = frozenset({"Gelu"})

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return the operator in the place of both; see :class:`Fusion`."""
        del scope
        approximate = node.attributes.get("approximate")
        if approximate is None:
            return None
        if approximate.is_ref():
            raise Keep("the attribute 'approximate' is a parameter of the enclosing function")
        if approximate.as_string() != "tanh":
            return None
        for data, bias in pairs(operand(node, 0), "Add"):
            if _runs_along_last(bias, data):
                require_float32(data)
                return Fused("FastGelu", [data, bias], [node.outputs[0]], domain=CONTRIB)
        return None


def _runs_along_last(bias: ir.Value, data: ir.Value) -> bool:
    dims, shape = dims_of(data), dims_of(bias)
    if not dims or shape is None or len(shape) != 1:
        return False
    return isinstance(shape[0], int) and dims[-1] == shape[0]
