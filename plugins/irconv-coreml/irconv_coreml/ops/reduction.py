"""Reductions along axes."""

from __future__ import annotations

import itertools

import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []


def _axes_refusal(node: ir.Node) -> Reason:
    if ask.given(node, 1) is None or ask.constant(node, 1) is not None:
        return ""
    if _axes_by_shape(node) is not None:
        return ""
    return "NOT_CONSTANT: MIL wants the axes of a reduction to be constants"


def _axes_by_shape(node: ir.Node) -> list[int] | None:
    """Return the axes that lead from the input's shape to the output's, if only one choice does.

    Axes of size 1 make no difference to what is reduced, so they are no choice.
    """
    before, after = (
        ask.static_shape(dims) for dims in (ask.shape(node, 0), ask.output_shape(node))
    )
    if before is None or after is None:
        return None
    if ask.attr_int(node, "keepdims", 1):
        if len(before) != len(after):
            return None
        return [axis for axis, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    choices = [
        list(axes)
        for axes in itertools.combinations(range(len(before)), len(before) - len(after))
        if tuple(dim for axis, dim in enumerate(before) if axis not in axes) == after
    ]
    kinds = {tuple(axis for axis in axes if before[axis] != 1) for axes in choices}
    return choices[0] if len(kinds) == 1 else None


def _axes(site: Site) -> list[int] | None:
    """Return the axes; None where nothing is to be reduced."""
    if site.has(1) and site.ints(1) is None:
        return _axes_by_shape(site.node) or None
    axes = site.ints(1)
    if axes:
        rank = len(site.x.shape)
        return [axis % rank for axis in axes]
    return None if site.int_("noop_with_empty_axes", 0) else list(range(len(site.x.shape)))


def _reduced(site: Site, name: str, x: Var, axes: list[int]) -> Var:
    if not axes:
        return x
    keep = bool(site.int_("keepdims", 1))
    return getattr(site.mb, name)(x=x, axes=axes, keep_dims=keep)


def _plain(op_type: str, name: str) -> None:
    @emits(op_type, refuses=_axes_refusal, wraps=True)
    def emit(site: Site) -> Var:
        axes, x = _axes(site), site.x
        if axes is None:
            return x
        if site.kind(x) == "bool":
            return site.cast(_reduced(site, name, site.cast(x, "int32"), axes), "bool")
        return _reduced(site, name, x, axes)

    emit.__doc__ = f"ONNX {op_type} as MIL {name}; bools as integers."


for _op_type, _name in {
    "ReduceMax": "reduce_max", "ReduceMin": "reduce_min", "ReduceProd": "reduce_prod",
    "ReduceSum": "reduce_sum",
}.items():  # fmt: skip
    _plain(_op_type, _name)


@emits("ReduceMean", refuses=[_axes_refusal, float_input])
def _mean(site: Site) -> Var:
    """ONNX ReduceMean as MIL reduce_mean."""
    axes = _axes(site)
    return site.x if axes is None else _reduced(site, "reduce_mean", site.x, axes)


@emits("ReduceL1", refuses=_axes_refusal)
def _l1(site: Site) -> Var:
    """ONNX ReduceL1: the sum of sizes; with no axes to reduce, the sizes."""
    x = site.mb.abs(x=site.x)
    axes = _axes(site)
    return x if axes is None else _reduced(site, "reduce_sum", x, axes)


@emits("ReduceSumSquare", refuses=_axes_refusal)
def _sum_square(site: Site) -> Var:
    """ONNX ReduceSumSquare: the sum of squares."""
    x = site.mb.mul(x=site.x, y=site.x)
    axes = _axes(site)
    return x if axes is None else _reduced(site, "reduce_sum", x, axes)


@emits("ReduceL2", refuses=[_axes_refusal, float_input])
def _l2(site: Site) -> Var:
    """ONNX ReduceL2: the root of the sum of squares."""
    axes = _axes(site)
    if axes is None:
        return site.mb.abs(x=site.x)
    return _reduced(site, "reduce_l2_norm", site.x, axes)


@emits("ReduceLogSum", refuses=[_axes_refusal, float_input])
def _log_sum(site: Site) -> Var:
    """ONNX ReduceLogSum: the logarithm of the sum, without MIL's epsilon."""
    x, axes = site.x, _axes(site)
    total = x if axes is None else _reduced(site, "reduce_sum", x, axes)
    return site.mb.log(x=total, epsilon=site.like(0, x))


@emits("ReduceLogSumExp", refuses=[_axes_refusal, float_input])
def _log_sum_exp(site: Site) -> Var:
    """ONNX ReduceLogSumExp as MIL reduce_log_sum_exp."""
    x, axes = site.x, _axes(site)
    if axes is None:
        return x
    return _reduced(site, "reduce_log_sum_exp", x, axes)


def _position_refusal(node: ir.Node) -> Reason:
    dims = ask.shape(node, 0)
    last = ask.attr_int(node, "select_last_index", 0)
    if last and (dims is None or dims[ask.attr_int(node, "axis", 0)] is None):
        return "DYNAMIC_SHAPE: the size of the axis must be known to find the last index"
    return ""


def _position(op_type: str, name: str) -> None:
    @emits(op_type, refuses=_position_refusal)
    def emit(site: Site) -> Var:
        mb, x = site.mb, site.x
        axis, keep = site.axis(x, 0), bool(site.int_("keepdims", 1))
        find = getattr(mb, name)
        if not site.int_("select_last_index", 0):
            return find(x=x, axis=axis, keep_dims=keep)
        size = site.dims(x)[axis]
        assert size is not None
        from_end = find(x=mb.reverse(x=x, axes=[axis]), axis=axis, keep_dims=keep)
        return mb.sub(x=site.like(size - 1, from_end), y=from_end)

    emit.__doc__ = f"ONNX {op_type} as MIL {name}; the last index is the first from the end."


_position("ArgMax", "reduce_argmax")
_position("ArgMin", "reduce_argmin")
