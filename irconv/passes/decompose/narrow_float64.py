"""Computing float64 in float32, for targets that have no float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.decompose.emulation import Emulation
from irconv.passes.sites import Sites

__all__ = ["NarrowFloat64"]


@dataclass(frozen=True)
class NarrowFloat64(Pass):
    """Put Casts around nodes that compute in float64, so that they compute in float32.

    29 of 53 bits of a number are lost, and numbers beyond 3.4e38 become infinite. Chains of
    nodes stay in float32 throughout; inputs and outputs of the model stay float64.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (double[N] x) => (double[N] y) {
            a = Exp(x)
            y = Neg(a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (double[N] x) => (double[N] y)
        <float[N] a_Cast, float[N] a_Exp, float[N] y_Neg> {
            a_Cast = Cast <to = 1> (x)
            a_Exp = Exp(a_Cast)
            y_Neg = Neg(a_Exp)
            y = Cast <to = 11> (y_Neg)
        }
    """

    name: ClassVar[str] = "narrow-float64"
    after: ClassVar[tuple[str, ...]] = ("convert-opset", "infer-shapes")
    effect: ClassVar[Effect] = "lossy"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Wrap nodes in one walk; linear in nodes."""
        names, sites = NameAllocator(model), Sites(context)
        return Emulation(names, _substitutes, rounded=False, sites=sites).run(model)


def _substitutes(op_type: str, dtype: ir.DataType) -> Sequence[ir.DataType] | None:
    del op_type
    return (ir.DataType.FLOAT,) if dtype == ir.DataType.DOUBLE else None
