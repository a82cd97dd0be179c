"""Slices and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import INT32_MAX, INT32_MIN
from irconv_coreml.ops.refusals import constant_inputs
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Dim, Site, Var

__all__: list[str] = []


def _slice_refusal(node: ir.Node) -> Reason:
    if ask.given(node, 3) is None and ask.static_shape(ask.shape(node, 1)) is None:
        return "DYNAMIC_SHAPE: how many dimensions are sliced is not known"
    reason = constant_inputs(3, 4)(node)
    if reason:
        return reason
    return ""


@emits("Slice", refuses=_slice_refusal)
def _slice(site: Site) -> Var:
    """ONNX Slice as MIL slice_by_index, whose masks stand for the ends of a dimension."""
    x = site.x
    dims = site.dims(x)
    rank = len(dims)
    starts, ends, steps = site.ints(1), site.ints(2), site.ints(4)
    count = len(starts) if starts is not None else int(ask.shape(site.node, 1)[0] or 0)  # type: ignore[index]
    axes = [axis % rank for axis in site.ints(3) or range(count)]
    begin: list[Any] = [0] * rank
    end: list[Any] = [0] * rank
    stride = [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    for place, axis in enumerate(axes):
        stride[axis] = steps[place] if steps else 1
        first = starts[place] if starts is not None else _item(site, 1, place)
        last = ends[place] if ends is not None else _item(site, 2, place)
        size = dims[axis]
        begin[axis], begin_mask[axis] = _start(first, stride[axis], size)
        end[axis], end_mask[axis] = _end(last, stride[axis], size)
    return site.mb.slice_by_index(
        x=x,
        begin=site.vector(begin),
        end=site.vector(end),
        stride=stride,
        begin_mask=begin_mask,
        end_mask=end_mask,
    )


def _item(site: Site, index: int, place: int) -> Var:
    return site.mb.slice_by_index(x=site[index], begin=[place], end=[place + 1])


def _start(first: Any, step: int, size: Dim) -> tuple[Any, bool]:
    """Return where a slice starts, and whether that is the end that its step comes from."""
    if not isinstance(first, int):
        return first, False
    if size is not None:
        first = slice(first, None, step).indices(size)[0]
        return first, first == (0 if step > 0 else size - 1)
    if step > 0:
        return max(first, INT32_MIN), first == 0 or first <= INT32_MIN
    return min(first, INT32_MAX), first == -1 or first >= INT32_MAX


def _end(last: Any, step: int, size: Dim) -> tuple[Any, bool]:
    """Return where a slice ends, and whether that is the far end."""
    if not isinstance(last, int):
        return last, False
    if size is not None:
        last = slice(None, last, step).indices(size)[1]
        return last, last == (size if step > 0 else -1)
    if step > 0:
        return min(last, INT32_MAX), last >= INT32_MAX
    return max(last, INT32_MIN), last <= INT32_MIN


def _pad_refusal(node: ir.Node) -> Reason:
    mode = ask.attr_text(node, "mode", "constant")
    reason = constant_inputs(3)(node)
    if reason:
        return reason
    pads = ask.constant_int_list(node, 1)
    if mode != "constant" and (pads is None or ask.static_shape(ask.shape(node, 0)) is None):
        return "DYNAMIC_SHAPE: padding by the tensor's own values needs known sizes"
    if pads is None and ask.given(node, 3) is not None:
        return "NOT_CONSTANT: padding of some axes only needs constant sizes"
    return ""


@emits("Pad", refuses=_pad_refusal)
def _pad(site: Site) -> Var:
    """ONNX Pad as MIL pad for a constant; other modes as a gather along each axis.

    Negative padding is a slice. Integers, and a value that is computed, are padded as floats of
    0 and 1 that choose between the value and the tensor.
    """
    x, pads = site.x, site.ints(1)
    rank = len(x.shape)
    mode = site.text("mode", "constant")
    if pads is None:
        pairs = site.mb.reshape(x=site[1], shape=[2, rank])
        turned = site.mb.transpose(x=pairs, perm=[1, 0])
        return _constant_pad(site, x, site.mb.reshape(x=turned, shape=[2 * rank]))
    axes = [axis % rank for axis in site.ints(3) or range(rank)]
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = pads[place], pads[place + len(axes)]
    x = _cut(site, x, before, after)
    before, after = [max(0, size) for size in before], [max(0, size) for size in after]
    if not any(before) and not any(after):
        return x
    if mode == "constant":
        flat = [size for pair in zip(before, after, strict=True) for size in pair]
        return _constant_pad(site, x, np.array(flat, np.int32))
    numpy_mode: Any = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}[mode]
    for axis, (front, back) in enumerate(zip(before, after, strict=True)):
        if front or back:
            size = site.dims(x)[axis] or 1
            indices = np.pad(np.arange(size, dtype=np.int32), (front, back), mode=numpy_mode)
            x = site.mb.gather(x=x, indices=indices, axis=axis)
    return x


def _cut(site: Site, x: Var, before: list[int], after: list[int]) -> Var:
    """Slice off what negative padding takes away."""
    if min(before + after) >= 0:
        return x
    rank = len(x.shape)
    return site.mb.slice_by_index(
        x=x,
        begin=[max(0, -size) for size in before],
        end=[min(0, size) for size in after],
        begin_mask=[size >= 0 for size in before],
        end_mask=[size >= 0 for size in after],
        stride=[1] * rank,
    )


def _constant_pad(site: Site, x: Var, pad: Any) -> Var:
    mb, value = site.mb, site.constant(2)
    floats = site.kind(x).startswith("fp")
    if floats and (value is not None or not site.has(2)):
        number = site.like(0 if value is None else float(value.reshape(-1)[0]), x)
        return mb.pad(x=x, pad=pad, mode="constant", constant_val=number)
    kind = site.kind(x)
    numbers = x if floats else mb.cast(x=x, dtype="fp32")
    padded = mb.pad(x=numbers, pad=pad, mode="constant", constant_val=site.like(0, numbers))
    ones = mb.fill(shape=site.vector(site.shape_vector(x)), value=site.like(1, numbers))
    inside = mb.pad(x=ones, pad=pad, mode="constant", constant_val=site.like(0, numbers))
    if site.has(2):
        outside = site.as_scalar(site.cast(site[2], site.kind(numbers)))
        padded = mb.select(cond=mb.cast(x=inside, dtype="bool"), a=padded, b=outside)
    return site.cast(padded, kind)
