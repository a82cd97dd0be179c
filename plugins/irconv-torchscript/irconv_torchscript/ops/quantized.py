"""Quantization, and products of quantized numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from irconv_torchscript.dtypes import ANY
from irconv_torchscript.held import Node
from irconv_torchscript.ops.casting import converted
from irconv_torchscript.ops.linear import unknown_kernel
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

_T = ir.DataType
_RANGES = {
    _T.UINT8: (0, 255), _T.INT8: (-128, 127), _T.UINT16: (0, 65535), _T.INT16: (-32768, 32767),
    _T.UINT4: (0, 15), _T.INT4: (-8, 7), _T.UINT2: (0, 3), _T.INT2: (-2, 1),
}  # fmt: skip


def _target(site: Site) -> ir.DataType:
    found = site.attr("output_dtype", 0)
    if found:
        return _T(found)
    return site.dtype(2) if site.given(2) else _T.UINT8


@emits("QuantizeLinear", dtypes=ANY)
def quantize(site: Site) -> Node:
    """Section QuantizeLinear: halves are rounded to even."""
    target = _target(site)
    precision = _T(site.attr("precision", 0) or site.dtype(1))
    block, axis = site.attr("block_size", 0), site.attr("axis", 1)
    scale = converted(site, site.tensor(1), site.dtype(1), _T.FLOAT)
    value = site.tensor(0)
    if site.dtype() not in (_T.FLOAT, precision):
        value = converted(site, value, site.dtype(), _T.FLOAT)
    if site.dtype(1) == precision and precision in (_T.FLOAT16, _T.BFLOAT16, _T.DOUBLE):
        scale = site.tensor(1)
    zero = site.tensor(2)
    if target in _RANGES:
        low, high = _RANGES[target]
        node = site.call("quantization.quantize", value, scale, zero, axis, block, low, high)
        return site.method("to", node, site.torch_dtype(target))
    node = site.call("quantization.scaled", value, scale, axis, block)
    return converted(site, node, _T.FLOAT, target, saturate=bool(site.attr("saturate", 1)))


@emits("DequantizeLinear", dtypes=ANY)
def dequantize(site: Site) -> Node:
    """Section DequantizeLinear."""
    target = _T(site.attr("output_dtype", 0) or site.dtype(1))
    value = converted(site, site.tensor(0), site.dtype(), _T.FLOAT)
    if site.dtype() in (_T.INT32, _T.INT64):
        value = site.method("to", site.tensor(0), site.builder.dtype("float64"))
    zero = site.tensor(2)
    if zero is not None and site.dtype(2) not in _RANGES:
        zero = converted(site, zero, site.dtype(2), _T.FLOAT)
    scale = converted(site, site.tensor(1), site.dtype(1), _T.FLOAT)
    node = site.call(
        "quantization.dequantize", value, scale, zero, site.attr("axis", 1),
        site.attr("block_size", 0),
    )  # fmt: skip
    return converted(site, site.method("to", node, site.builder.dtype("float32")), _T.FLOAT, target)


@emits("DynamicQuantizeLinear")
def dynamic_quantize(site: Site) -> tuple[Node, ...]:
    """Section DynamicQuantizeLinear."""
    return site.items(site.call("quantization.dynamic", site.tensor(0)), 3)


@emits("MatMulInteger")
def matmul_integer(site: Site) -> Node:
    """Section MatMulInteger: torch.matmul on int32."""
    return site.call("quantization.matmul_integer", *[site.tensor(index) for index in range(4)])


@emits("QLinearMatMul")
def qlinear_matmul(site: Site) -> Node:
    """Section QLinearMatMul."""
    low, high = _RANGES[site.dtype(7)]
    node = site.call("quantization.matmul", *site.tensors(), low, high)
    return site.method("to", node, site.torch_dtype(site.dtype(7)))


def _convolution(site: Site, weight: int) -> list[Any]:
    space = (site.rank(weight) or 4) - 2
    auto = site.attr("auto_pad", "NOTSET")
    return [
        site.attr("strides") or [1] * space,
        site.attr("pads") or [0] * (2 * space),
        site.attr("dilations") or [1] * space,
        site.attr("group", 1),
        auto,
    ]


@emits("ConvInteger", refuse=unknown_kernel)
def conv_integer(site: Site) -> Node:
    """Section ConvInteger: the convolution in float64, where such sums are exact."""
    return site.call(
        "quantization.conv_integer", *[site.tensor(index) for index in range(4)],
        *_convolution(site, 1),
    )  # fmt: skip


@emits("QLinearConv")
def qlinear_conv(site: Site) -> Node:
    """Section QLinearConv."""
    low, high = _RANGES[site.dtype(7)]
    node = site.call(
        "quantization.conv", *[site.tensor(index) for index in range(9)], *_convolution(site, 3),
        low, high,
    )  # fmt: skip
    return site.method("to", node, site.torch_dtype(site.dtype(7)))
