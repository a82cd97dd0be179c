"""Quantization (ONNX sections QuantizeLinear to QLinearConv)."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from irconv_torchscript.kernels.windows import pad_same

__all__ = [
    "conv", "conv_integer", "dequantize", "dynamic", "matmul", "matmul_integer", "quantize",
    "scaled",
]  # fmt: skip


def _spread(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Give a scale or zero point the shape that fits x: per tensor, axis or block."""
    if parameter.dim() == 0 or (parameter.dim() == 1 and parameter.numel() == 1):
        return parameter.reshape([])
    if axis < 0:
        axis += x.dim()
    if block > 0:
        wide = parameter.repeat_interleave(block, axis)
        return wide.narrow(axis, 0, x.size(axis))
    shape: list[int] = []
    for other in range(x.dim()):
        shape.append(x.size(other) if other == axis else 1)
    return parameter.reshape(shape)


def scaled(x: Tensor, scale: Tensor, axis: int, block: int) -> Tensor:
    """Return x divided by its scale."""
    return x / _spread(scale, x, axis, block)


def quantize(
    x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, block: int, low: int, high: int
) -> Tensor:
    """Return quantized numbers as int64."""
    rounded = torch.round(scaled(x, scale, axis, block)).to(torch.float64)
    if zero is not None:
        rounded = rounded + _spread(zero, x, axis, block).to(torch.float64)
    return torch.clamp(rounded, low, high).to(torch.int64)


def dequantize(x: Tensor, scale: Tensor, zero: Tensor | None, axis: int, block: int) -> Tensor:
    """Return (x - zero) * scale."""
    if zero is not None:
        x = x - _spread(zero, x, axis, block).to(x.dtype)
    return x.to(torch.float32) * _spread(scale, x, axis, block)


def dynamic(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Section DynamicQuantizeLinear."""
    nothing = torch.zeros([], dtype=x.dtype)
    high = torch.maximum(torch.amax(x), nothing)
    low = torch.minimum(torch.amin(x), nothing)
    scale = (high - low) / 255.0
    zero = torch.clamp(torch.round(-low / scale), 0.0, 255.0)
    quantized = torch.clamp(torch.round(x / scale) + zero, 0.0, 255.0)
    return quantized.to(torch.uint8), scale, zero.to(torch.uint8)


def _centred(x: Tensor, zero: Tensor | None, per_row: bool) -> Tensor:
    wide = x.to(torch.int32)
    if zero is None:
        return wide
    offset = zero.to(torch.int32)
    if per_row and offset.dim() == 1 and offset.numel() > 1:
        offset = offset.unsqueeze(-1)
    return wide - offset


def matmul_integer(a: Tensor, b: Tensor, a_zero: Tensor | None, b_zero: Tensor | None) -> Tensor:
    """Section MatMulInteger."""
    return torch.matmul(_centred(a, a_zero, True), _centred(b, b_zero, False))


def _row(parameter: Tensor) -> Tensor:
    return parameter.unsqueeze(-1) if parameter.dim() == 1 and parameter.numel() > 1 else parameter


def matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    low: int,
    high: int,
) -> Tensor:
    """Section QLinearMatMul."""
    product = matmul_integer(a, b, a_zero, b_zero).to(torch.float32)
    factor = _row(a_scale).to(torch.float32) * b_scale.to(torch.float32)
    rounded = torch.round(product * factor / y_scale.to(torch.float32)).to(torch.float64)
    return torch.clamp(rounded + y_zero.to(torch.float64), low, high)


def _convolve(
    x: Tensor,
    weight: Tensor,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    group: int,
    auto: str,
) -> Tensor:
    space = len(strides)
    if auto == "SAME_UPPER" or auto == "SAME_LOWER":
        x = pad_same(x, weight, strides, dilations, auto == "SAME_LOWER")
    elif auto == "NOTSET":
        order: list[int] = []
        for back in range(space):
            order.append(pads[space - 1 - back])
            order.append(pads[2 * space - 1 - back])
        x = F.pad(x, order)
    none: list[int] = []
    for _ in range(space):
        none.append(0)
    return torch.convolution(x, weight, None, strides, none, dilations, False, none, group)


def _kernel(weight: Tensor, zero: Tensor | None) -> Tensor:
    wide = weight.to(torch.float64)
    if zero is None:
        return wide
    return wide - _channels(zero.to(torch.float64), weight.dim(), 0)


def _channels(parameter: Tensor, rank: int, axis: int) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape([])
    shape: list[int] = []
    for other in range(rank):
        shape.append(-1 if other == axis else 1)
    return parameter.reshape(shape)


def conv_integer(
    x: Tensor,
    weight: Tensor,
    x_zero: Tensor | None,
    w_zero: Tensor | None,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    group: int,
    auto: str,
) -> Tensor:
    """Section ConvInteger; padding stands for the zero point."""
    data = x.to(torch.float64)
    if x_zero is not None:
        data = data - x_zero.to(torch.float64)
    kernel = _kernel(weight, w_zero)
    return _convolve(data, kernel, strides, pads, dilations, group, auto).to(torch.int32)


def conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    weight: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    group: int,
    auto: str,
    low: int,
    high: int,
) -> Tensor:
    """Section QLinearConv."""
    total = _convolve(
        x.to(torch.float64) - x_zero.to(torch.float64),
        _kernel(weight, w_zero),
        strides,
        pads,
        dilations,
        group,
        auto,
    )
    if bias is not None:
        total = total + _channels(bias.to(torch.float64), total.dim(), 1)
    factor = x_scale * w_scale / y_scale
    scaled_total = total.to(torch.float32) * _channels(factor, total.dim(), 1)
    return torch.clamp(torch.round(scaled_total) + y_zero.to(torch.float32), low, high)
