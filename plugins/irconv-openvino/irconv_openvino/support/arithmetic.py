"""Limits of element-wise operators, conversions and reductions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv_openvino.passes.restore_infinities import loses_infinity
from irconv_openvino.support.node import (
    attribute_int,
    attribute_text,
    dtype_of,
    is_constant,
    value_at,
)

if TYPE_CHECKING:
    from irconv_openvino.support.node import Check

__all__ = ["CAVEATS", "REFUSALS"]

_SIGNED = (ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64)
_ZERO_POINT = 2
_NARROW = (ir.DataType.INT8, ir.DataType.INT16)
_SATURATING = (ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E5M2)
_MISROUNDED = (ir.DataType.FLOAT4E2M1, ir.DataType.FLOAT8E8M0)


def _bit_shift(node: ir.Node) -> str:
    kind = dtype_of(value_at(node, 0))
    if kind in _SIGNED and attribute_text(node, "direction", "LEFT") == "RIGHT":
        return "OpenVINO 2026.4 shifts negative integers to the right wrongly"
    if kind in _NARROW:
        return "OpenVINO 2026.4 saturates where a shift of a narrow signed integer overflows"
    return ""


def _wide_shift(node: ir.Node) -> str:
    if dtype_of(value_at(node, 0)) in _SIGNED:
        return "a shift by as many bits as the dtype has, or more, does not give 0"
    return ""


def _cast(node: ir.Node) -> str:
    target = dtype_of(node.outputs[0])
    if "to" in node.attributes:
        target = ir.DataType(attribute_int(node, "to", 1))
    if target in _MISROUNDED:
        return f"OpenVINO 2026.4 rounds to {target.name} otherwise than ONNX says"
    if target in _SATURATING and attribute_int(node, "saturate", 1):
        return f"OpenVINO 2026.4 does not saturate when it converts to {target.name}"
    return ""


def _modulo(node: ir.Node) -> str:
    kind = dtype_of(value_at(node, 0))
    if kind is not None and kind.is_floating_point() and not attribute_int(node, "fmod", 0):
        return "OpenVINO's importer takes Mod of floating-point numbers only with fmod=1"
    return ""


def _quantize(node: ir.Node) -> str:
    kind = dtype_of(node.outputs[0])
    if kind == ir.DataType.FLOAT4E2M1:
        return "OpenVINO's importer does not quantize to float4"
    if attribute_int(node, "block_size", 0) and value_at(node, _ZERO_POINT) is None:
        return "OpenVINO's importer quantizes in blocks only with zero points"
    return ""


def _constant_axes(node: ir.Node) -> str:
    if not is_constant(node, 1):
        return "OpenVINO needs constant axes: the rank of the result depends on them"
    return ""


def _reduction(node: ir.Node) -> str:
    axes = value_at(node, 1)
    one_axis = axes is not None and axes.shape is not None and list(axes.shape) == [1]
    if attribute_int(node, "keepdims", 1) or one_axis:
        return ""
    return _constant_axes(node)


def _tile(node: ir.Node) -> str:
    if not is_constant(node, 1):
        return "OpenVINO 2026.4 computes wrong results where the repeats are not constant"
    return ""


def _dynamic_quantize(node: ir.Node) -> str:
    del node
    return "a number halfway between two quantized ones may be rounded the other way"


def _infinite(node: ir.Node) -> str:
    if loses_infinity(node):
        return "over infinite numbers only it may come out as the largest finite number"
    return ""


_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


def _remainder(node: ir.Node) -> str:
    kind = dtype_of(value_at(node, 0))
    if kind is not None and kind.is_floating_point():
        return "it is x - trunc(x / y) y, inexact for large quotients, and NaN by an infinite y"
    return ""


REFUSALS: Mapping[str, Check] = {
    "BitShift": _bit_shift,
    "Cast": _cast,
    "CastLike": _cast,
    "Mod": _modulo,
    "QuantizeLinear": _quantize,
    "Tile": _tile,
    "Unsqueeze": _constant_axes,
    **dict.fromkeys(_REDUCTIONS, _reduction),
}
CAVEATS: Mapping[str, Check] = {
    "BitShift": _wide_shift,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Mod": _remainder,
    "ReduceMax": _infinite,
    "ReduceMin": _infinite,
}
