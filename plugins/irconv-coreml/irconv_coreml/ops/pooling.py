"""Pools over windows and over whole planes."""

from __future__ import annotations

import math
from dataclasses import replace

import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import NARROW
from irconv_coreml.ops.refusals import float_input, unused_outputs
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var
from irconv_coreml.windows import Windows, known_same_padding, windows

__all__: list[str] = []

_SPATIAL = (1, 2, 3)


def _pool_refusal(node: ir.Node) -> Reason:
    kernel = ask.attr_ints(node, "kernel_shape") or []
    if len(kernel) not in _SPATIAL:
        return "RANK_LIMIT: MIL pools over one to three dimensions"
    if any(step != 1 for step in ask.attr_ints(node, "dilations") or []):
        return "UNSUPPORTED_FORM: MIL's pools have no dilations"
    sizes = (ask.shape(node, 0) or ())[2:]
    if ask.attr_int(node, "ceil_mode", 0) and None in sizes:
        return "DYNAMIC_SHAPE: the windows that ceil_mode adds depend on sizes that are not known"
    return ""


_POOL = (float_input, _pool_refusal, known_same_padding)


def _read(site: Site) -> tuple[Windows, tuple[int, ...]]:
    """Return the windows, and the excess behind that ceil_mode asks for."""
    kernel = site.int_list("kernel_shape") or []
    window = windows(site.node, kernel)
    if not site.int_("ceil_mode", 0):
        return window, (0,) * len(kernel)
    sizes = [size for size in site.dims(site.x)[2:] if size is not None]
    return window, window.ceiling_excess(sizes)


def _lengthened(window: Windows, excess: tuple[int, ...]) -> Windows:
    return replace(window, end=tuple(a + b for a, b in zip(window.end, excess, strict=True)))


def _poolable(node: ir.Node) -> Reason:
    if ask.dtype(node, 0) in NARROW:
        return ""
    return float_input(node)


@emits("MaxPool", refuses=[_poolable, *_POOL[1:], unused_outputs(1)])
def _max_pool(site: Site) -> Var:
    """ONNX MaxPool as MIL max_pool; integers are pooled as floats, which holds narrow ones."""
    window, excess = _read(site)
    window = _lengthened(window, excess)
    return site.mb.max_pool(
        x=site.x if site.is_float() else site.cast(site.x, "fp32"),
        kernel_sizes=list(window.kernel),
        strides=list(window.strides),
        pad_type="custom",
        pad=window.pads,
    )


@emits("AveragePool", refuses=_POOL)
def _average_pool(site: Site) -> Var:
    """ONNX AveragePool as MIL avg_pool.

    Padding that counts is put in as zeros first where ceil_mode adds some that does not.
    """
    mb, x = site.mb, site.x
    window, excess = _read(site)
    counted = bool(site.int_("count_include_pad", 0))
    if counted and any(excess):
        x = mb.pad(x=x, pad=[0, 0, 0, 0, *window.pads], mode="constant",
                   constant_val=site.like(0, x))  # fmt: skip
        rank = len(window.kernel)
        window, counted = replace(window, begin=(0,) * rank, end=(0,) * rank), False
    window = _lengthened(window, excess)
    return mb.avg_pool(
        x=x,
        kernel_sizes=list(window.kernel),
        strides=list(window.strides),
        pad_type="custom",
        pad=window.pads,
        exclude_padding_from_average=not counted,
    )


@emits("LpPool", refuses=_POOL)
def _lp_pool(site: Site) -> Var:
    """ONNX LpPool: the p-th root of the window's sum of |x|^p, a mean times the window's size."""
    mb, p = site.mb, site.int_("p", 2)
    window, excess = _read(site)
    window = _lengthened(window, excess)
    x = site.mb.abs(x=site.x)
    powers = mb.pow(x=x, y=site.like(p, x))
    mean = mb.avg_pool(
        x=powers,
        kernel_sizes=list(window.kernel),
        strides=list(window.strides),
        pad_type="custom",
        pad=window.pads,
        exclude_padding_from_average=False,
    )
    total = mb.mul(x=mean, y=site.like(math.prod(window.kernel), x))
    return mb.pow(x=total, y=site.like(1 / p, x))


def _planes(site: Site) -> list[int]:
    return list(range(2, len(site.x.shape)))


@emits("GlobalAveragePool", refuses=float_input)
def _global_average(site: Site) -> Var:
    """ONNX GlobalAveragePool as MIL reduce_mean."""
    return site.mb.reduce_mean(x=site.x, axes=_planes(site), keep_dims=True)


@emits("GlobalMaxPool", refuses=float_input)
def _global_max(site: Site) -> Var:
    """ONNX GlobalMaxPool as MIL reduce_max."""
    return site.mb.reduce_max(x=site.x, axes=_planes(site), keep_dims=True)


@emits("GlobalLpPool", refuses=float_input)
def _global_lp(site: Site) -> Var:
    """ONNX GlobalLpPool: the p-th root of the plane's sum of |x|^p."""
    mb, p = site.mb, site.int_("p", 2)
    powers = mb.pow(x=mb.abs(x=site.x), y=site.like(p, site.x))
    total = mb.reduce_sum(x=powers, axes=_planes(site), keep_dims=True)
    return mb.pow(x=total, y=site.like(1 / p, total))
