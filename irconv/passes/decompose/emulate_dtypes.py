"""Computing in dtypes that a target has what a model computes in dtypes that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.decompose.emulation import Emulation
from irconv.passes.decompose.wide_dtypes import DTYPES, wider_dtypes
from irconv.passes.sites import Sites

__all__ = ["EmulateDtypes"]


@dataclass(frozen=True)
class EmulateDtypes(Pass):
    """Put Casts around nodes of dtypes that are not native, so that they compute in wider ones.

    Each result is rounded or wrapped around to the dtype that it had. What only converts or
    stores such a dtype (Cast, QuantizeLinear, constants, inputs and outputs) stays as it is.
    uint64 is computed in int64, where that gives the same bits.

    Attributes:
        native: Dtypes that the target computes in, such as float32.
        rounded: Whether floats are rounded after every node, as the model says; else only where
            they are stored, so that chains of nodes compute in the wide dtype throughout.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float16[N] x, uint8[N] a, uint8[N] b) => (float16[N] y, uint8[N] c) {
            y = Exp(x)
            c = Add(a, b)
        }

    After ``emulate-dtypes{native=[float32,int32]}``::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float16[N] x, uint8[N] a, uint8[N] b) => (float16[N] y, uint8[N] c)
        <float[N] y_Cast, float[N] y_Exp, int32[N] c_Cast, int32[N] c_Cast_1, int32[N] c_Add,
         int32 c_Constant, int32[N] c_Mod> {
            y_Cast = Cast <to = 1> (x)
            y_Exp = Exp(y_Cast)
            y = Cast <to = 10> (y_Exp)
            c_Cast = Cast <to = 6> (a)
            c_Cast_1 = Cast <to = 6> (b)
            c_Add = Add(c_Cast, c_Cast_1)
            c_Constant = Constant <value = int32 {256}> ()
            c_Mod = Mod(c_Add, c_Constant)
            c = Cast <to = 2> (c_Mod)
        }
    """

    name: ClassVar[str] = "emulate-dtypes"
    after: ClassVar[tuple[str, ...]] = ("convert-opset", "infer-shapes")
    effect: ClassVar[Effect] = "real-arithmetic"

    native: tuple[str, ...] = ("float32", "int32", "int64", "bool")
    rounded: bool = True

    def __post_init__(self) -> None:
        """Check the dtypes.

        Raises:
            ValueError: If one is unknown.
        """
        unknown = sorted(set(self.native) - set(DTYPES))
        if unknown:
            raise ValueError(f"unknown dtypes: {', '.join(unknown)} (known: {', '.join(DTYPES)})")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Wrap nodes in one walk; linear in nodes."""
        native = frozenset(DTYPES[name] for name in self.native)

        def substitutes(op_type: str, dtype: ir.DataType) -> Sequence[ir.DataType] | None:
            if dtype in native or dtype not in DTYPES.values():
                return None
            return [wide for wide in wider_dtypes(op_type, dtype) if wide in native]

        names, sites = NameAllocator(model), Sites(context)
        return Emulation(names, substitutes, self.rounded, sites).run(model)
