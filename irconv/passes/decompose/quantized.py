"""Operators on quantized tensors, in terms of arithmetic on float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.integer_products import (
    conv_integer,
    mat_mul_integer,
    q_linear_conv,
    q_linear_mat_mul,
)
from irconv.passes.decompose.quantization import (
    dequantize_linear,
    dynamic_quantize_linear,
    quantize_linear,
)

__all__ = ["DecomposeQuantized"]


@dataclass(frozen=True)
class DecomposeQuantized(Decomposition):
    """Replace products, convolutions and quantization of integers by float32 arithmetic.

    QuantizeLinear and DequantizeLinear are what most targets read quantization from, so they
    are replaced only where ``ops`` names them. Their ``precision`` attribute is taken as float32.

    Attributes:
        ops: Operator types to replace; those of the family but the two, if none is given.

    Before::

        <ir_version: 10, opset_import: ["" : 21]>
        example (uint8[2, 3] a, uint8[3, 4] b) => (int32[2, 4] y)
        <uint8 zero = {2}> {
            y = MatMulInteger(a, b, zero)
        }

    After::

        <ir_version: 10, opset_import: ["" : 21]>
        example (uint8[2, 3] a, uint8[3, 4] b) => (int32[2, 4] y)
        <uint8 zero = {2}, float[2, 3] y_Cast, float y_Cast_1, float[2, 3] y_Sub,
         float[3, 4] y_Cast_2, float[2, 4] y_MatMul> {
            y_Cast = Cast <to = 1> (a)
            y_Cast_1 = Cast <to = 1> (zero)
            y_Sub = Sub(y_Cast, y_Cast_1)
            y_Cast_2 = Cast <to = 1> (b)
            y_MatMul = MatMul(y_Sub, y_Cast_2)
            y = Cast <to = 6> (y_MatMul)
        }
    """

    name: ClassVar[str] = "decompose-quantized"
    rules: ClassVar[Mapping[str, Rule]] = {
        "ConvInteger": conv_integer,
        "DequantizeLinear": dequantize_linear,
        "DynamicQuantizeLinear": dynamic_quantize_linear,
        "MatMulInteger": mat_mul_integer,
        "QLinearConv": q_linear_conv,
        "QLinearMatMul": q_linear_mat_mul,
        "QuantizeLinear": quantize_linear,
    }
    default_ops: ClassVar[tuple[str, ...]] = tuple(
        op for op in rules if op not in ("DequantizeLinear", "QuantizeLinear")
    )
