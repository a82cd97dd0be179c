"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear as arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Dim, Keep
from irconv.passes.decompose.site import Site

__all__ = ["dequantize_linear", "dynamic_quantize_linear", "quantize_linear", "quantized"]

_FLOAT = ir.DataType.FLOAT
_RANGES = {
    ir.DataType.INT2: (-2, 1),
    ir.DataType.UINT2: (0, 3),
    ir.DataType.INT4: (-8, 7),
    ir.DataType.UINT4: (0, 15),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT16: (-32768, 32767),
    ir.DataType.UINT16: (0, 65535),
}


def quantized(
    block: Block, value: ir.Value, scale: ir.Value, zero_point: ir.Value | None, dtype: ir.DataType
) -> ir.Value:
    """Return ``saturate(round(value / scale) + zero_point)``, ties rounding to even.

    All are float32 but the zero point, and broadcast; float8 results round in the Cast.
    """
    ratio = block.op("Div", value, scale)
    if dtype not in _RANGES:
        return block.op("Cast", ratio, to=int(dtype))
    level = block.op("Round", ratio)
    if zero_point is not None:
        level = block.op("Add", level, block.cast(zero_point, _FLOAT))
    low, high = (block.scalar(bound, _FLOAT) for bound in _RANGES[dtype])
    return block.op("Cast", block.op("Clip", level, low, high), to=int(dtype))


def _spread(site: Site, value: ir.Value, data: ir.Value) -> ir.Value:
    """Make a scale or zero point broadcast to ``data``: per tensor, per axis, or per block."""
    if site.rank(value) == 0:
        return value
    axis, block_size = site.axis(default=1), site.attribute("block_size", 0)
    if not block_size:
        if site.rank(value) != 1:
            raise Keep("its scale has more than one axis, but there is no block_size")
        one = site.dims(value)[0] == 1
        return site.op("Squeeze", value, [0]) if one else site.along(value, axis, site.rank(data))
    sizes: list[Dim] = site.sizes(value)
    wide = site.op("Unsqueeze", value, [axis + 1])
    wide = site.expand(wide, [*sizes[: axis + 1], block_size, *sizes[axis + 1 :]])
    length = site.product([sizes[axis], block_size])
    wide = site.reshape(wide, [*sizes[:axis], length, *sizes[axis + 1 :]])
    goal = site.size(data, axis)
    return wide if goal == length else site.op("Slice", wide, [0], site.vector([goal]), [axis])


def quantize_linear(site: Site) -> ir.Value:
    """ONNX QuantizeLinear (since 10): per tensor, per axis or per block, to integers or floats."""
    data, scale, zero_point = site.input(0), site.input(1), site.maybe(2)
    if zero_point is not None:
        dtype = site.dtype(zero_point)
    else:
        dtype = ir.DataType(site.attribute("output_dtype", 0) or int(ir.DataType.UINT8))
    value = site.cast(data, _FLOAT)
    divisor = _spread(site, site.cast(scale, _FLOAT), data)
    if dtype not in _RANGES:
        saturate = site.attribute("saturate", 1)
        ratio = site.op("Div", value, divisor)
        return site.op("Cast", ratio, to=int(dtype), saturate=None if saturate else 0)
    shift = None
    if zero_point is not None:
        shift = _spread(site, site.cast(zero_point, _FLOAT), data)
    return quantized(site, value, divisor, shift, dtype)


def dequantize_linear(site: Site) -> ir.Value:
    """ONNX DequantizeLinear (since 10): ``(x - zero_point) * scale`` in the scale's dtype."""
    data, scale, zero_point = site.input(0), site.input(1), site.maybe(2)
    dtype = ir.DataType(site.attribute("output_dtype", 0) or int(site.dtype(scale)))
    level = site.cast(data, _FLOAT)
    if zero_point is not None:
        shift = _spread(site, site.cast(zero_point, _FLOAT), data)
        level = site.op("Sub", level, shift)
    factor = _spread(site, site.cast(scale, _FLOAT), data)
    return site.cast(site.op("Mul", level, factor), dtype)


def dynamic_quantize_linear(site: Site) -> Sequence[ir.Value]:
    """ONNX DynamicQuantizeLinear (since 11): uint8 over the range of the data, 0 included.

    Data that is all zero has scale 1, as in ONNX Runtime; the function body of the specification
    would divide by 0.
    """
    data = site.input(0)
    axes = list(range(site.rank(data)))
    low = site.op("Min", site.op("ReduceMin", data, axes, keepdims=0), 0.0)
    high = site.op("Max", site.op("ReduceMax", data, axes, keepdims=0), 0.0)
    step = site.op("Div", site.op("Sub", high, low), 255.0)
    scale = site.op("Where", site.op("Equal", step, 0.0), site.op("Add", step, 1.0), step)
    level = site.op("Round", site.op("Div", site.op("Neg", low), scale))
    bounds = (site.scalar(0, _FLOAT), site.scalar(255, _FLOAT))
    zero_point = site.op("Cast", site.op("Clip", level, *bounds), to=int(ir.DataType.UINT8))
    return quantized(site, data, scale, zero_point, ir.DataType.UINT8), scale, zero_point
