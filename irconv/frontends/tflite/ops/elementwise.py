"""Operators of one operand, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError
from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_SAME: Mapping[str, str] = {
    "ABS": "Abs", "CEIL": "Ceil", "COS": "Cos", "SIN": "Sin", "EXP": "Exp", "FLOOR": "Floor",
    "LOG": "Log", "NEG": "Neg", "ROUND": "Round", "SQRT": "Sqrt", "SIGN": "Sign",
    "RELU": "Relu", "TANH": "Tanh", "LOGISTIC": "Sigmoid", "ELU": "Elu", "LOGICAL_NOT": "Not",
    "HARD_SWISH": "HardSwish",
}  # fmt: skip
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0),
}  # fmt: skip


@converts(*_SAME)
def same(site: Site) -> None:
    """Operators that ONNX has as they are."""
    _unary(site, lambda x: site.nodes.op(_SAME[site.code], x))


@converts(*_BOUNDS)
def clip(site: Site) -> None:
    """Activations with an upper bound: Clip."""
    low, high = (site.nodes.constant(bound, "float32") for bound in _BOUNDS[site.code])
    _unary(site, lambda x: site.nodes.op("Clip", x, low, high))


@converts("SQUARE")
def square(site: Site) -> None:
    """SQUARE: Mul of a value by itself."""
    _unary(site, lambda x: site.nodes.op("Mul", x, x))


@converts("RSQRT")
def rsqrt(site: Site) -> None:
    """RSQRT: Reciprocal of Sqrt."""
    _unary(site, lambda x: site.nodes.op("Reciprocal", site.nodes.op("Sqrt", x)))


@converts("LEAKY_RELU")
def leaky_relu(site: Site) -> None:
    """LEAKY_RELU: LeakyRelu."""
    alpha = float(site.option("alpha"))
    _unary(site, lambda x: site.nodes.op("LeakyRelu", x, alpha=alpha))


@converts("GELU")
def gelu(site: Site) -> None:
    """GELU: Gelu, exact or by the hyperbolic tangent."""
    approximate = "tanh" if site.option("approximate") else "none"
    _unary(site, lambda x: site.nodes.op("Gelu", x, approximate=approximate))


@converts("PRELU")
def prelu(site: Site) -> None:
    """PRELU: PRelu, whose slope is broadcast as in TFLite."""
    x, slope = site.input(0), site.input(1)
    first = site.follows_first(x, site.output())
    value = site.nodes.op(
        "PRelu",
        site.operand(x, x.rank, first=first),
        site.operand(slope, x.rank, first=first),
    )
    site.write(value, first=first)


@converts("ZEROS_LIKE")
def zeros_like(site: Site) -> None:
    """ZEROS_LIKE: Expand of a zero to the shape of the operand."""
    x = site.input(0)
    zero = site.nodes.constant(0, x.tensor.dtype)
    site.output().set_raw(site.nodes.op("Expand", zero, site.nodes.sizes(x.raw())))


@converts("CAST")
def cast(site: Site) -> None:
    """CAST: Cast of the numbers as they are stored; from float to integer towards zero."""
    x, target = site.input(0), site.output().tensor.dtype
    if "complex" in x.tensor.dtype or "complex" in target:
        raise RefusalError("ONNX has no complex numbers")
    first = site.follows_first(x)
    site.output().set_raw(site.nodes.cast(x.raw(first=first), target), first=first)


@converts("BITCAST")
def bitcast(site: Site) -> None:
    """BITCAST between dtypes of one width: Cast of integers, a disguise of other numbers."""
    x, y = site.input(0), site.output()
    dtype, target = x.disguise or x.tensor.dtype, y.tensor.dtype
    if dtype == target:
        y.set_raw(x.raw())
        return
    widths = [numpy_dtype(name).itemsize for name in (dtype, target)]
    if widths[0] != widths[1] or "string" in (dtype, target):
        raise RefusalError(f"it reads the bits of {dtype} as {target}")
    if x.is_constant:
        y.set_raw(site.nodes.pool.constant(np.array(x.array().view(numpy_dtype(target)))))
    elif all(numpy_dtype(name).kind in "iub" for name in (dtype, target)) and target != "bool":
        y.set_raw(site.nodes.cast(x.raw(), target))
    else:
        y.set_raw(x.raw())
        y.disguise = dtype


@converts("QUANTIZE")
def quantize(site: Site) -> None:
    """QUANTIZE: QuantizeLinear, after DequantizeLinear where the operand has a grid itself."""
    x = site.input(0)
    first = site.follows_first(x)
    site.output().set_real(x.real(first=first), first=first)


@converts("DEQUANTIZE")
def dequantize(site: Site) -> None:
    """DEQUANTIZE: DequantizeLinear, or Cast from float16; constants stay as they are stored."""
    x, y = site.input(0), site.output()
    if x.is_constant:
        y.stored = x
        return
    first = site.follows_first(x)
    if x.quantization is None:
        y.set_raw(site.nodes.cast(x.raw(first=first), "float32"), first=first)
    else:
        y.set_raw(x.real(first=first), first=first)


@converts("DENSIFY")
def densify(site: Site) -> None:
    """DENSIFY of a sparse constant."""
    raise RefusalError("its weights are stored sparsely", "convert the model without sparsity")


@converts("FAKE_QUANT")
def fake_quant(site: Site) -> None:
    """FAKE_QUANT: rounding to a grid that holds zero, in real numbers.

    Source: ``NudgeQuantizationRange`` of TFLite's ``fake_quant``.
    """
    low, high = float(site.option("min")), float(site.option("max"))
    bottom = 1 if site.option("narrow_range") else 0
    top = (1 << int(site.option("num_bits"))) - 1
    if not high > low:
        raise RefusalError(f"its range goes from {low} to {high}")
    scale = (high - low) / (top - bottom)
    point = min(max(round(bottom - low / scale), bottom), top)
    nodes = site.nodes
    step = nodes.constant(scale, "float32")
    floor = nodes.constant((bottom - point) * scale, "float32")
    ceiling = nodes.constant((top - point) * scale, "float32")

    def rounded(x: ir.Value) -> ir.Value:
        clipped = nodes.op("Clip", x, floor, ceiling)
        return nodes.op("Mul", nodes.op("Round", nodes.op("Div", clipped, step)), step)

    _unary(site, rounded)


def _unary(site: Site, function: Callable[[ir.Value], ir.Value]) -> None:
    x = site.input(0)
    first = site.follows_first(x)
    site.write(function(x.real(first=first)), first=first)
