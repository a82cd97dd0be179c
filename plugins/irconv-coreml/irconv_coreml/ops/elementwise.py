"""Arithmetic on elements: one input, two, or many."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import is_float
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []


def _floats_only(node: ir.Node) -> Reason:
    if is_float(ask.dtype(node, 0)):
        return ""
    return "UNSUPPORTED_DTYPE: MIL computes it for floats only"


def _unary(op_type: str, name: str) -> None:
    @emits(op_type, refuses=_floats_only)
    def emit(site: Site) -> Var:
        return getattr(site.mb, name)(x=site.x)

    emit.__doc__ = f"ONNX {op_type} as MIL {name}."


for _op_type, _name in {
    "Acos": "acos", "Asin": "asin", "Atan": "atan", "Atanh": "atanh", "Ceil": "ceil",
    "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "Round": "round", "Sigmoid": "sigmoid", "Sin": "sin", "Sinh": "sinh", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
}.items():  # fmt: skip
    _unary(_op_type, _name)


@emits("Abs", wraps=True)
def _abs(site: Site) -> Var:
    """ONNX Abs as MIL abs, for floats and int32."""
    return site.mb.abs(x=site.x)


@emits("Sign")
def _sign(site: Site) -> Var:
    """ONNX Sign as MIL sign."""
    return site.mb.sign(x=site.x)


@emits("Neg", wraps=True)
def _neg(site: Site) -> Var:
    """ONNX Neg as a product with -1, which keeps the sign of zeros."""
    return site.mb.mul(x=site.x, y=site.like(-1, site.x))


@emits("Log", refuses=_floats_only)
def _log(site: Site) -> Var:
    """ONNX Log as MIL log, without the epsilon that MIL adds by default."""
    return site.mb.log(x=site.x, epsilon=site.like(0, site.x))


@emits("Reciprocal", refuses=_floats_only)
def _reciprocal(site: Site) -> Var:
    """ONNX Reciprocal as a quotient: MIL's inverse adds an epsilon."""
    return site.mb.real_div(x=site.like(1, site.x), y=site.x)


@emits("Asinh", refuses=_floats_only)
def _asinh(site: Site) -> Var:
    """ONNX Asinh: sign(x) log(|x| + sqrt(x^2 + 1)), which is exact enough for both signs."""
    mb, x = site.mb, site.x
    size = mb.abs(x=x)
    root = mb.sqrt(x=mb.add(x=mb.mul(x=x, y=x), y=site.like(1, x)))
    log = mb.log(x=mb.add(x=size, y=root), epsilon=site.like(0, x))
    return mb.mul(x=mb.sign(x=x), y=log)


@emits("Acosh", refuses=_floats_only)
def _acosh(site: Site) -> Var:
    """ONNX Acosh: log(x + sqrt(x^2 - 1))."""
    mb, x = site.mb, site.x
    root = mb.sqrt(x=mb.sub(x=mb.mul(x=x, y=x), y=site.like(1, x)))
    return mb.log(x=mb.add(x=x, y=root), epsilon=site.like(0, x))


@emits("Identity")
def _identity(site: Site) -> Var:
    """ONNX Identity; the value itself."""
    return site.x


def _training_dropout(node: ir.Node) -> Reason:
    mode, ratio = ask.constant(node, 2), ask.constant(node, 1)
    off = ask.given(node, 2) is None or (mode is not None and not mode.any())
    if off or (ratio is not None and float(ratio.reshape(-1)[0]) == 0.0):
        return ""
    return "UNSUPPORTED_FORM: it drops values at random, as training does"


@emits("Dropout", refuses=_training_dropout)
def _dropout(site: Site) -> tuple[Var, Var | None]:
    """ONNX Dropout at inference: the value itself, and a mask of ones."""
    return site.x, _ones(site) if site.wants(1) else None


def _ones(site: Site) -> Var:
    shape = site.vector(site.shape_vector(site.x))
    return site.mb.fill(shape=shape, value=True) if len(site.x.shape) else np.bool_(True)


def _binary(op_type: str, name: str) -> None:
    @emits(op_type, wraps=True)
    def emit(site: Site) -> Var:
        return getattr(site.mb, name)(x=site[0], y=site[1])

    emit.__doc__ = f"ONNX {op_type} as MIL {name}, with the same broadcasting."


for _op_type, _name in {"Add": "add", "Sub": "sub", "Mul": "mul"}.items():
    _binary(_op_type, _name)


@emits("Div", wraps=True)
def _div(site: Site) -> Var:
    """ONNX Div: real_div for floats; for integers a quotient rounded towards zero."""
    if site.is_float():
        return site.mb.real_div(x=site[0], y=site[1])
    return truncated_division(site, site[0], site[1])


def truncated_division(site: Site, x: Var, y: Var) -> Var:
    """Return x / y rounded towards zero: the quotient of the sizes, with the sign put back."""
    mb = site.mb
    sizes = mb.floor_div(x=mb.abs(x=x), y=mb.abs(x=y))
    return mb.mul(x=sizes, y=mb.mul(x=mb.sign(x=x), y=mb.sign(x=y)))


@emits("Mod", wraps=True)
def _mod(site: Site) -> Var:
    """ONNX Mod: MIL's mod has the sign of the divisor, as fmod=0; fmod=1 that of the dividend."""
    mb, x, y = site.mb, site[0], site[1]
    if not site.int_("fmod", 0):
        return mb.mod(x=x, y=y)
    remainder = mb.mod(x=mb.abs(x=x), y=mb.abs(x=y))
    return mb.mul(x=mb.sign(x=x), y=remainder)


@emits("Pow", wraps=True)
def _pow(site: Site) -> Var:
    """ONNX Pow: MIL pow takes both in one dtype; the result has the base's."""
    mb, x, y = site.mb, site[0], site[1]
    if site.is_float(0):
        return mb.pow(x=x, y=site.cast(y, site.kind(x)))
    if site.is_float(1):
        power = mb.pow(x=mb.cast(x=x, dtype=site.kind(y)), y=y)
        return mb.cast(x=power, dtype="int32")
    return mb.pow(x=x, y=y)


def _variadic(op_type: str, name: str) -> None:
    @emits(op_type, wraps=True)
    def emit(site: Site) -> Var:
        combine: Callable[..., Any] = getattr(site.mb, name)
        return functools.reduce(lambda x, y: combine(x=x, y=y), site.all())

    emit.__doc__ = f"ONNX {op_type} as a chain of MIL {name}."


for _op_type, _name in {"Max": "maximum", "Min": "minimum", "Sum": "add"}.items():
    _variadic(_op_type, _name)


@emits("Mean", refuses=_floats_only)
def _mean(site: Site) -> Var:
    """ONNX Mean: the sum over the number of inputs."""
    mb = site.mb
    total = functools.reduce(lambda x, y: mb.add(x=x, y=y), site.all())
    return mb.mul(x=total, y=site.like(1 / len(site), total))


@emits("Clip")
def _clip(site: Site) -> Var:
    """ONNX Clip as MIL clip or relu6; as maximum and minimum where those do not take it."""
    mb, x = site.mb, site.x
    low, high = site.constant(1), site.constant(2)
    if low is not None and high is not None and site.is_float() and low.max() <= high.min():
        least, most = float(low.reshape(-1)[0]), float(high.reshape(-1)[0])
        if (least, most) == (0.0, 6.0):
            return mb.relu6(x=x)
        return mb.clip(x=x, alpha=site.like(least, x), beta=site.like(most, x))
    if site.has(1):
        x = mb.maximum(x=x, y=site[1])
    return mb.minimum(x=x, y=site[2]) if site.has(2) else x


@emits("BitwiseNot", wraps=True)
def _bitwise_not(site: Site) -> Var:
    """ONNX BitwiseNot: -1 - x in two's complement; narrow unsigned results wrap to that."""
    return site.mb.sub(x=np.int32(-1), y=site.x)


@emits("BitShift", wraps=True)
def _bit_shift(site: Site) -> Var:
    """ONNX BitShift: times, or rounded down over, two powers of two that make up the shift.

    One power would not fit for a shift by 31. Shifts by less than 0, or by as many bits as the
    dtype has, leave nothing but the sign.
    """
    mb, x, amount = site.mb, site[0], site[1]
    bits = min(site.out_dtype().itemsize * 8, 32)
    inside = mb.logical_and(
        x=mb.greater_equal(x=amount, y=np.int32(0)), y=mb.less(x=amount, y=np.int32(bits))
    )
    whole = mb.select(cond=inside, a=amount, b=np.int32(0))
    half = mb.floor_div(x=whole, y=np.int32(2))
    powers = [mb.pow(x=np.int32(2), y=part) for part in (half, mb.sub(x=whole, y=half))]
    kept = mb.cast(x=inside, dtype="int32")
    if site.text("direction", "") == "LEFT":
        return mb.mul(x=mb.mul(x=mb.mul(x=x, y=powers[0]), y=powers[1]), y=kept)
    shifted = mb.floor_div(x=mb.floor_div(x=x, y=powers[0]), y=powers[1])
    sign = mb.mul(x=mb.cast(x=mb.less(x=x, y=np.int32(0)), dtype="int32"), y=np.int32(-1))
    rest = mb.mul(x=sign, y=mb.sub(x=np.int32(1), y=kept))
    return mb.add(x=mb.mul(x=shifted, y=kept), y=rest)
