"""Comparisons, logic, conversions of dtype and choices between values."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import emits
from irconv_coreml.site import Dim, Site, Var

__all__: list[str] = []


def _comparison(op_type: str, name: str) -> None:
    @emits(op_type)
    def emit(site: Site) -> Var:
        x, y = site[0], site[1]
        if site.kind(x) == "bool":
            x, y = site.cast(x, "int32"), site.cast(y, "int32")
        return getattr(site.mb, name)(x=x, y=y)

    emit.__doc__ = f"ONNX {op_type} as MIL {name}; bools are compared as integers."


for _op_type, _name in {
    "Equal": "equal", "Greater": "greater", "GreaterOrEqual": "greater_equal", "Less": "less",
    "LessOrEqual": "less_equal",
}.items():  # fmt: skip
    _comparison(_op_type, _name)


def _logical(op_type: str, name: str) -> None:
    @emits(op_type)
    def emit(site: Site) -> Var:
        return getattr(site.mb, name)(x=site[0], y=site[1])

    emit.__doc__ = f"ONNX {op_type} as MIL {name}."


for _op_type, _name in {"And": "logical_and", "Or": "logical_or", "Xor": "logical_xor"}.items():
    _logical(_op_type, _name)


@emits("Not")
def _not(site: Site) -> Var:
    """ONNX Not as MIL logical_not."""
    return site.mb.logical_not(x=site.x)


@emits("IsNaN", refuses=float_input)
def _is_nan(site: Site) -> Var:
    """ONNX IsNaN: only NaN differs from itself."""
    return site.mb.not_equal(x=site.x, y=site.x)


@emits("IsInf", refuses=float_input)
def _is_inf(site: Site) -> Var:
    """ONNX IsInf: equality with the infinities that are asked for."""
    mb, x = site.mb, site.x
    found = [
        mb.equal(x=x, y=site.like(value, x))
        for name, value in (("detect_positive", np.inf), ("detect_negative", -np.inf))
        if site.int_(name, 1)
    ]
    if not found:
        return mb.logical_and(x=mb.equal(x=x, y=x), y=mb.not_equal(x=x, y=x))
    return functools.reduce(lambda a, b: mb.logical_or(x=a, y=b), found)


@emits("Cast", wraps=True)
def _cast(site: Site) -> Var:
    """ONNX Cast as MIL cast; float to integer rounds towards zero in both.

    A cast to bool goes through a comparison with 0, so that 0.5 is true. Values of bfloat16
    and float64 are held in float32, so casts between those are the value itself.
    """
    return convert(site, site.x, site.out_mil())


def convert(site: Site, x: Var, kind: str) -> Var:
    """Return the value in another MIL dtype, with ONNX's meaning of bool."""
    if site.kind(x) == kind:
        return x
    if kind == "bool":
        return site.mb.not_equal(x=x, y=site.like(0, x))
    return site.mb.cast(x=x, dtype=kind)


@emits("Where")
def _where(site: Site) -> Var:
    """ONNX Where as MIL select; the condition is broadcast first where MIL would not."""
    condition, a, b = site.all()
    mb, kind = site.mb, site.kind(a)
    if kind == "bool":
        a, b = site.cast(a, "int32"), site.cast(b, "int32")
    if not _within(site.dims(condition), site.dims(a), site.dims(b)):
        flags = mb.cast(x=condition, dtype=site.kind(a))
        a = mb.add(x=a, y=mb.mul(x=flags, y=site.like(0, a)))
    chosen = mb.select(cond=condition, a=a, b=b)
    return mb.not_equal(x=chosen, y=np.int32(0)) if kind == "bool" else chosen


def _within(condition: Sequence[Dim], a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    """Return whether the condition's shape adds nothing to those of the two choices."""
    rank = max(len(a), len(b))
    if len(condition) > rank:
        return False
    ones: list[Dim] = [1]
    wide = [ones * (rank - len(dims)) + list(dims) for dims in (a, b)]
    for index, dim in enumerate(reversed(condition), start=1):
        chosen = {dims[-index] for dims in wide} - {1}
        if dim != 1 and (None in chosen or dim not in chosen):
            return False
    return True
