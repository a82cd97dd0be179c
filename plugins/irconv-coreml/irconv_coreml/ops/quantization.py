"""Quantized values: MIL's own quantize and dequantize where they fit, arithmetic elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv_coreml import node as ask
from irconv_coreml.dtypes import NARROW, is_float
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_NATIVE = {ir.DataType.INT8: "int8", ir.DataType.UINT8: "uint8"}


def _form_refusal(node: ir.Node) -> Reason:
    if ask.attr_int(node, "block_size", 0):
        dims = ask.shape(node, 0)
        if ask.static_shape(dims) is None or ask.constant(node, 1) is None:
            return "DYNAMIC_SHAPE: blocks need known sizes and constant scales"
    narrow = node.outputs[0].dtype if node.op_type == "QuantizeLinear" else ask.dtype(node, 0)
    if narrow not in NARROW and narrow != ir.DataType.INT32:
        return "UNSUPPORTED_DTYPE: Core ML has no such quantized dtype"
    return ""


def _native_axis(site: Site) -> int | None:
    """Return the axis of a scale that MIL's own operators take; None where they take it not.

    They take a constant scale, of one value or one along an axis, for int8 and uint8.
    """
    scale = site.constant(1)
    if scale is None or site.int_("block_size", 0):
        return None
    if site.has(2) and site.constant(2) is None:
        return None
    if not is_float(site.dtype(1)) or scale.ndim > 1 or not np.all(scale > 0):
        return None
    return site.axis(site.x, 1) if scale.ndim == 1 and len(site.x.shape) else 0


def _parameters(site: Site, narrow: ir.DataType, axis: int) -> dict[str, Any]:
    scale, zero = site.constant(1), site.constant(2)
    assert scale is not None
    if scale.size == 1:
        scale = scale.reshape(())
    dtype = np.dtype(_NATIVE[narrow])
    options: dict[str, Any] = {"scale": scale}
    if zero is not None and (np.any(zero) or dtype == np.uint8):
        options["zero_point"] = zero.reshape(scale.shape).astype(dtype)
    if scale.ndim:
        options["axis"] = np.int32(axis)
    return options


def _spread(site: Site, index: int, x: Var) -> Any:
    """Return scale or zero point in a shape that broadcasts against the values."""
    mb, rank = site.mb, len(x.shape)
    axis, block = site.axis(x, 1) if rank else 0, site.int_("block_size", 0)
    if block:
        array = site.constant(index)
        size = site.dims(x)[axis]
        assert array is not None
        return np.repeat(array, block, axis=axis).take(range(size or 0), axis=axis)
    var = site[index]
    if len(var.shape) == 0 or rank == 0:
        return site.as_scalar(var)
    if len(var.shape) == 1 and site.dims(var)[0] == 1:
        return mb.squeeze(x=var, axes=[0])
    return mb.reshape(x=var, shape=[-1 if i == axis else 1 for i in range(rank)])


@emits("QuantizeLinear", refuses=_form_refusal)
def _quantize(site: Site) -> Var:
    """ONNX QuantizeLinear as MIL quantize for int8 and uint8 with constant scales.

    Otherwise round(x / scale) + zero point, cut off at the ends of the dtype.
    """
    mb, x, narrow = site.mb, site.x, site.out_dtype()
    axis = _native_axis(site) if site.program.has_quantization else None
    if narrow in _NATIVE and axis is not None and site.is_float() and len(x.shape):
        quantized = mb.quantize(
            input=x, output_dtype=_NATIVE[narrow], **_parameters(site, narrow, axis)
        )
        site.program.quantized[site.node.outputs[0]] = quantized
        return mb.cast(x=quantized, dtype="int32")
    x = site.cast(x, "fp32")
    ratio = mb.real_div(x=x, y=site.cast(_var(site, _spread(site, 1, x)), "fp32"))
    steps = mb.round(x=ratio)
    if site.has(2):
        steps = mb.add(x=steps, y=site.cast(_var(site, _spread(site, 2, x)), "fp32"))
    least, count = NARROW[narrow]
    low, high = np.float32(least), np.float32(least + count - 1)
    return mb.cast(x=mb.minimum(x=mb.maximum(x=steps, y=low), y=high), dtype="int32")


def _var(site: Site, value: Any) -> Var:
    return site.mb.const(val=value) if isinstance(value, np.ndarray | np.generic) else value


@emits("DequantizeLinear", refuses=_form_refusal)
def _dequantize(site: Site) -> Var:
    """ONNX DequantizeLinear as MIL dequantize, or of a constant as one of two constexpr operators.

    Those are constexpr_affine_dequantize, and constexpr_blockwise_shift_scale for int4 in blocks.

    Otherwise (x - zero point) * scale.
    """
    mb, narrow = site.mb, site.dtype(0)
    source = ask.given(site.node, 0)
    assert source is not None
    axis = _native_axis(site) if narrow in _NATIVE else None
    constant = _integers(source)
    if narrow == ir.DataType.INT4 and constant is not None and _is_stored_in_blocks(site):
        return _stored_in_blocks(site, constant)
    if axis is not None and constant is not None and constant.ndim and constant.size > 1:
        if site.program.has_stored_weights:
            return _stored(site, constant, narrow, axis)
        axis = None
    if axis is not None and source in site.program.quantized:
        quantized = site.program.quantized[source]
        return mb.dequantize(input=quantized, **_parameters(site, narrow, axis))
    kind = site.out_mil()
    x = site.cast(site.x, "fp32")
    if site.has(2):
        x = mb.sub(x=x, y=site.cast(_var(site, _spread(site, 2, x)), "fp32"))
    scaled = mb.mul(x=x, y=site.cast(_var(site, _spread(site, 1, x)), "fp32"))
    return site.cast(scaled, kind)


def _integers(value: ir.Value) -> np.ndarray[Any, Any] | None:
    """Return the integers of a weight, given as such or quantized from a constant; or None."""
    node = value.producer()
    if node is None or (node.domain, node.op_type) != ("", "QuantizeLinear"):
        tensor = constant_tensor(value)
        return None if tensor is None else tensor.numpy()
    x, scale, zero = (ask.constant(node, index) for index in range(3))
    odd = ask.attr_int(node, "block_size", 0) or ask.attr_int(node, "precision", 0)
    if x is None or scale is None or scale.ndim > 1 or odd or value.dtype not in _NATIVE:
        return None
    if not (np.all(scale > 0) and np.all(np.isfinite(x))):
        return None
    if zero is None:
        if ask.given(node, 2) is not None:
            return None
        zero = np.zeros(scale.shape, np.float32)
    axis = ask.attr_int(node, "axis", 1) % max(x.ndim, 1)
    along = [-1 if index == axis else 1 for index in range(x.ndim)] if scale.size > 1 else []
    steps = np.rint(x / scale.reshape(along)) + zero.astype(np.float32).reshape(along)
    least, count = NARROW[value.dtype]
    integers: np.ndarray[Any, Any] = np.clip(steps, least, least + count - 1)
    return integers.astype(_NATIVE[value.dtype])


def _stored(site: Site, constant: Any, narrow: ir.DataType, axis: int) -> Var:
    """Store a weight as its integers, with scale and zero point, which Core ML expands."""
    dtype, node, hold = np.dtype(_NATIVE[narrow]), site.node, site.program.hold
    options = _parameters(site, narrow, axis)
    scale = hold(options["scale"], ask.given(node, 1))
    zero = options.get("zero_point")
    if zero is None:
        zero = np.zeros(scale.shape, dtype)
    return site.mb.constexpr_affine_dequantize(
        quantized_data=hold(constant.astype(dtype), ask.given(node, 0)),
        zero_point=zero if zero.ndim else dtype.type(zero),
        scale=scale if scale.ndim else scale.dtype.type(scale),
        axis=np.int32(axis),
    )


def _is_stored_in_blocks(site: Site) -> bool:
    scale, block = site.constant(1), site.int_("block_size", 0)
    if not site.program.has_blocks or not block or scale is None or site.has(2):
        return False
    return (site.dims(site.x)[site.axis(site.x, 1)] or 0) % block == 0


def _stored_in_blocks(site: Site, constant: Any) -> Var:
    """Store a weight as int4, with a scale for each block."""
    from coremltools.converters.mil.mil import types

    scale = site.constant(1)
    assert scale is not None
    data = site.program.hold(constant.astype(np.int8), ask.given(site.node, 0))
    return site.mb.constexpr_blockwise_shift_scale(
        data=data.astype(types.np_int4_dtype),
        scale=site.program.hold(scale, ask.given(site.node, 1)),
    )
