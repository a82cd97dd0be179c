"""Convolutions."""

from __future__ import annotations

import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var
from irconv_coreml.windows import Windows, known_same_padding, windows

__all__: list[str] = []

_SPATIAL = (1, 2, 3)


def _kernel_refusal(node: ir.Node) -> Reason:
    weight = ask.shape(node, 1)
    if weight is None or ask.static_shape(weight) is None:
        return "DYNAMIC_SHAPE: the sizes of its weight must be known"
    if len(weight) - 2 not in _SPATIAL:
        return "RANK_LIMIT: MIL convolves over one to three dimensions"
    dilated = any(step != 1 for step in ask.attr_ints(node, "dilations") or [])
    if dilated and ask.constant(node, 1) is None:
        return "NOT_CONSTANT: MIL wants the weight of a dilated convolution to be a constant"
    return ""


def _kernel(site: Site) -> tuple[int, ...]:
    return tuple(dim for dim in site.dims(site[1])[2:] if dim is not None)


@emits("Conv", refuses=[float_input, _kernel_refusal, known_same_padding])
def _conv(site: Site) -> Var:
    """ONNX Conv as MIL conv, whose weights have the same layout.

    A bias that is not constant is added after it.
    """
    mb, window = site.mb, windows(site.node, _kernel(site))
    options = {"bias": site[2]} if site.constant(2) is not None else {}
    result = mb.conv(
        x=site.x,
        weight=site[1],
        strides=list(window.strides),
        dilations=list(window.dilations),
        pad_type="custom",
        pad=window.pads,
        groups=site.int_("group", 1),
        **options,
    )
    return _with_bias(site, result) if site.has(2) and not options else result


def _with_bias(site: Site, result: Var) -> Var:
    shape = [1, -1] + [1] * (len(result.shape) - 2)
    return site.mb.add(x=result, y=site.mb.reshape(x=site[2], shape=shape))


def _transpose_refusal(node: ir.Node) -> Reason:
    sizes = (ask.shape(node, 0) or ())[2:]
    mode = ask.attr_text(node, "auto_pad", "NOTSET")
    if None in sizes and (ask.attr_ints(node, "output_shape") or mode.startswith("SAME")):
        return "DYNAMIC_SHAPE: its padding depends on sizes that are not known"
    return _kernel_refusal(node)


@emits("ConvTranspose", refuses=[float_input, _transpose_refusal])
def _conv_transpose(site: Site) -> Var:
    """ONNX ConvTranspose as MIL conv_transpose, which crops by its padding.

    ``output_padding`` crops less behind; where more is wanted than there is to crop, zeros are
    added behind and the bias after them.
    """
    mb = site.mb
    window, extra = _crop(site)
    plain = site.constant(2) is not None and not any(extra)
    options = {"bias": site[2]} if plain else {}
    result = mb.conv_transpose(
        x=site.x,
        weight=site[1],
        strides=list(window.strides),
        dilations=list(window.dilations),
        pad_type="custom",
        pad=window.pads,
        groups=site.int_("group", 1),
        **options,
    )
    if any(extra):
        pad = [0, 0, 0, 0] + [size for more in extra for size in (0, more)]
        result = mb.pad(x=result, pad=pad, mode="constant", constant_val=site.like(0, result))
    return _with_bias(site, result) if site.has(2) and not plain else result


def _crop(site: Site) -> tuple[Windows, tuple[int, ...]]:
    """Return the windows with their padding as what to crop, and the zeros to add behind."""
    kernel = _kernel(site)
    rank = len(kernel)
    window = windows(site.node, kernel)
    more = site.int_list("output_padding") or [0] * rank
    wanted = site.int_list("output_shape")
    mode = site.text("auto_pad", "NOTSET")
    sizes = site.dims(site.x)[2:]
    begin, end = list(window.begin), list(window.end)
    if wanted or mode.startswith("SAME"):
        for index, size in enumerate(sizes):
            assert size is not None
            step, reach = window.strides[index], window.reach[index]
            goal = wanted[index - rank] if wanted else size * step
            total = step * (size - 1) + more[index] + reach - goal
            less, rest = total // 2, total - total // 2
            begin[index], end[index] = (rest, less) if mode != "SAME_UPPER" else (less, rest)
    net = [back - plus for back, plus in zip(end, more, strict=True)]
    lacking = tuple(max(0, -size) for size in net)
    front = [max(0, size) for size in begin]
    cropped = Windows(
        window.kernel,
        window.strides,
        window.dilations,
        tuple(front),
        tuple(max(0, size) for size in net),
    )
    return cropped, lacking
