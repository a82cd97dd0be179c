"""Adapters to older operator versions, for steps that the schemas alone do not settle.

Each is filed under the operator and the version that it leads away from. Where none helps, the
operator's own function body may (:mod:`irconv.passes.opset.functions`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.opset.common import (
    AXES_AS_INPUT,
    Adapter,
    is_inference_dropout,
    refuse_used_outputs,
)
from irconv.passes.opset.site import Inexpressible, Site

__all__ = ["DOWNWARD"]

_AXES_ATTRIBUTE_OPSET = 17
"""The newest opset in which the axes of a ReduceMean are an attribute."""
_PLAIN_REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
"""Reductions that over no axis are the identity."""


def _axes_to_attribute(name: str) -> Adapter:
    def adapt(site: Site) -> None:
        values = site.ints(1, name)
        site.set_input(1, None)
        if values is not None:
            site.set(name, list(values))

    return adapt


def _reduce(site: Site) -> None:
    axes = site.ints(1, "axes")
    keep_all = site.attribute("noop_with_empty_axes")
    if not axes and keep_all:
        if site.node.op_type not in _PLAIN_REDUCTIONS:
            raise Inexpressible("noop_with_empty_axes=1 without axes has no older form")
        site.replace([site.emit("Identity", [site.needed(0)])])
        return
    site.set("noop_with_empty_axes", None)
    site.set_input(1, None)
    if axes:
        site.set("axes", list(axes))


def _split_18(site: Site) -> None:
    """Without ``num_outputs`` all parts must be equal, or their sizes be given."""
    count = site.attribute("num_outputs")
    site.set("num_outputs", None)
    if count is None:
        return
    shape = site.needed(0).shape
    axis = site.attribute("axis") or 0
    size = None if shape is None else shape[axis]
    if not isinstance(size, int):
        raise Inexpressible("the size that it splits is unknown, so its parts may be unequal")
    if size % count:
        part = -(-size // count)
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
        site.set_input(1, site.constant(sizes))


def _softmax(site: Site) -> None:
    """Until opset 11 the input is flattened to two dimensions at ``axis``."""
    axis = site.attribute("axis")
    axis = -1 if axis is None else axis
    rank = site.needed_rank()
    axis %= max(rank, 1)
    if axis == rank - 1:
        site.set("axis", axis)
        return
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    swapped = site.emit("Transpose", [site.needed(0)], {"perm": order})
    result = site.emit(site.node.op_type, [swapped], {"axis": rank - 1})
    site.replace([site.emit("Transpose", [result], {"perm": order})])


def _reshape(site: Site) -> None:
    if not site.attribute("allowzero"):
        return
    target = site.input(1)
    tensor = constant_tensor(target)
    output = site.node.outputs[0].shape
    positive = (tensor is not None and bool(np.all(tensor.numpy() != 0))) or (
        output is not None and all(isinstance(dim, int) and dim > 0 for dim in output)
    )
    if not positive:
        raise Inexpressible("allowzero=1 with a shape that may hold a zero")
    site.set("allowzero", None)


def _shape(site: Site) -> None:
    start, end = site.attribute("start") or 0, site.attribute("end")
    site.set("start", None)
    site.set("end", None)
    if start == 0 and end is None:
        return
    whole = site.emit("Shape", [site.needed(0)])
    stop = np.iinfo(np.int64).max if end is None else end
    parts = [site.constant([start]), site.constant([stop]), site.constant([0])]
    site.replace([site.emit("Slice", [whole, *parts])])


def _cast_like(site: Site) -> None:
    like = site.needed(1)
    if like.dtype is None or like.dtype == ir.DataType.UNDEFINED:
        raise Inexpressible("the dtype that it casts to is unknown; run infer-shapes first")
    attributes = {"to": int(like.dtype)}
    site.replace([site.emit("Cast", [site.needed(0)], attributes)])


def _clip(site: Site) -> None:
    for index, name in ((1, "min"), (2, "max")):
        value = site.scalar(index, name)
        if value is not None:
            site.set(name, value)
    site.set_input(1, None)


def _pad_18(site: Site) -> None:
    """Older versions pad every axis."""
    if site.input(3) is None:
        return
    axes, pads = site.ints(3, "axes"), site.ints(1, "pads")
    assert axes is not None
    assert pads is not None
    rank = site.needed_rank()
    every = np.zeros((2, rank), np.int64)
    every[:, [axis % rank for axis in axes]] = np.reshape(pads, (2, -1))
    site.set_input(1, site.constant(every.reshape(-1)))
    site.set_input(3, None)


def _pad_19(site: Site) -> None:
    if site.attribute("mode") == "wrap":
        raise Inexpressible("mode=wrap has no older form")


def _pad_11(site: Site) -> None:
    site.set("pads", list(site.ints(1, "pads") or ()))
    fill = site.scalar(2, "constant_value")
    if fill is not None:
        site.set("value", fill)
    site.set_input(1, None)


def _slice_10(site: Site) -> None:
    if any(step != 1 for step in site.ints(4, "steps") or ()):
        raise Inexpressible("steps other than 1 have no older form")
    for index, name in ((1, "starts"), (2, "ends"), (3, "axes")):
        values = site.ints(index, name)
        if values is not None:
            site.set(name, list(values))
    site.set_input(1, None)


def _top_k(site: Site) -> None:
    k = site.scalar(1, "k")
    site.set_input(1, None)
    site.set("k", None if k is None else int(k))


def _gemm(site: Site) -> None:
    if site.input(2) is None:
        dtype = site.needed(0).dtype
        if dtype is None or dtype == ir.DataType.UNDEFINED:
            raise Inexpressible("the dtype of its input is unknown; run infer-shapes first")
        site.set_input(2, site.constant([0], dtype.numpy()))


def _dropout_12(site: Site) -> None:
    if not is_inference_dropout(site):
        raise Inexpressible("it is in training mode")
    refuse_used_outputs(site, "its mask output means something else before opset 12")
    ratio = site.scalar(1, "ratio")
    site.set("seed", None)
    site.set("ratio", ratio)
    site.set_input(1, None)


def _dropout_10(site: Site) -> None:
    refuse_used_outputs(site, "the dtype of its mask output changed in opset 10")


def _batch_normalization(site: Site) -> None:
    if site.attribute("training_mode"):
        raise Inexpressible("it is in training mode")
    refuse_used_outputs(site, "its outputs beside the first mean training, which changed")


def _per_tensor_only(site: Site) -> None:
    if site.rank(1) != 0:
        raise Inexpressible("a scale for each channel has no form before opset 13")
    site.set("axis", None)


def _mod(site: Site) -> None:
    """Before opset 28 only integers have the remainder with the sign of the divisor."""
    dtype = site.needed(0).dtype
    if site.attribute("fmod"):
        return
    if dtype is None or not dtype.is_integer():
        raise Inexpressible("fmod=0 is for integers only before opset 28")


def _scan(site: Site) -> None:
    raise Inexpressible("Scan of opset 8 works on batches, which later versions do not")


def _scatter_18(site: Site) -> None:
    if site.attribute("reduction") in ("max", "min"):
        raise Inexpressible(f"reduction={site.attribute('reduction')} has no older form")


def _scatter_elements_11(site: Site) -> None:
    attributes = {"axis": site.attribute("axis")}
    site.replace([site.emit("Scatter", list(site.node.inputs), attributes)])


def _resize_19(site: Site) -> None:
    if site.attribute("coordinate_transformation_mode") == "half_pixel_symmetric":
        raise Inexpressible("coordinate_transformation_mode=half_pixel_symmetric is new")


def _resize_13(site: Site) -> None:
    for index in (1, 2):
        if site.input(index) is None:
            site.set_input(index, site.constant([], np.float32))


def _resize_11(site: Site) -> None:
    mode = site.attribute("mode") or "nearest"
    mapping = site.attribute("coordinate_transformation_mode") or "half_pixel"
    rounding = site.attribute("nearest_mode") or "round_prefer_floor"
    sizes = constant_tensor(site.input(3))
    if (
        mapping != "asymmetric"
        or mode not in ("nearest", "linear")
        or (mode == "nearest" and rounding != "floor")
        or (site.input(3) is not None and (sizes is None or sizes.size))
    ):
        raise Inexpressible("opset 10 resizes by scales only, asymmetrically and rounding down")
    attributes = {"mode": mode}
    site.replace([site.emit("Resize", [site.needed(0), site.needed(2)], attributes)])


def _resize_10(site: Site) -> None:
    attributes = {"mode": site.attribute("mode")}
    site.replace([site.emit("Upsample", list(site.node.inputs), attributes)])


def _roi_align(site: Site) -> None:
    if site.attribute("coordinate_transformation_mode") != "output_half_pixel":
        raise Inexpressible("opset 10 knows coordinate_transformation_mode=output_half_pixel only")
    site.set("coordinate_transformation_mode", None)


_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}


def _grid_sample(site: Site) -> None:
    if site.needed_rank() != 4:
        raise Inexpressible("opset 16 samples images only (rank 4)")
    mode = site.attribute("mode") or "linear"
    site.set("mode", _GRID_MODES.get(mode, mode))


def _dft(site: Site) -> None:
    axis = site.scalar(2, "axis")
    site.set_input(2, None)
    site.set("axis", -2 if axis is None else int(axis))


def _constant(site: Site) -> None:
    """Before opset 12 a Constant holds a tensor."""
    if site.attribute("value") is not None:
        return
    tensor = constant_tensor(site.node.outputs[0])
    if tensor is None:
        raise Inexpressible("it holds a sparse tensor")
    for name in list(site.node.attributes):
        site.set(name, None)
    site.set("value", tensor)


@dataclass(frozen=True)
class _Normalized:
    """The stages of a normalization over the trailing axes, in its working dtype."""

    mean: ir.Value | None
    deviation: ir.Value
    scaled: ir.Value


def _normalize(site: Site, *, centre: bool) -> _Normalized:
    """Emit (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale, without the mean on demand.

    The function body of ONNX takes E[x^2] - E[x]^2 instead, which loses all digits where the
    mean is large beside the deviation.
    """
    data, scale = site.needed(0), site.needed(1)
    if data.dtype is None or data.dtype == ir.DataType.UNDEFINED:
        raise Inexpressible("the dtype of its input is unknown; run infer-shapes first")
    rank, start = site.needed_rank(), site.attribute("axis")
    axes = list(range((-1 if start is None else start) % rank, rank))
    epsilon = site.attribute("epsilon")
    stash = site.attribute("stash_type") or int(ir.DataType.FLOAT)
    working = ir.DataType(stash)

    def average(value: ir.Value) -> ir.Value:
        return site.emit("ReduceMean", [value], {"axes": axes, "keepdims": 1})

    wide = data if data.dtype == working else site.emit("Cast", [data], {"to": stash})
    mean = average(wide) if centre else None
    centred = wide if mean is None else site.emit("Sub", [wide, mean])
    square = average(site.emit("Mul", [centred, centred]))
    offset = site.constant(1e-5 if epsilon is None else epsilon, working.numpy())
    deviation = site.emit("Sqrt", [site.emit("Add", [square, offset])])
    result = site.emit("Div", [centred, deviation])
    if data.dtype != working:
        result = site.emit("Cast", [result], {"to": int(data.dtype)})
    return _Normalized(mean, deviation, site.emit("Mul", [result, scale]))


def _layer_normalization(site: Site) -> None:
    parts = _normalize(site, centre=True)
    bias = site.input(2)
    result = parts.scaled if bias is None else site.emit("Add", [parts.scaled, bias])
    site.replace([result, parts.mean, site.emit("Reciprocal", [parts.deviation])])
    site.drop_unread()


def _rms_normalization(site: Site) -> None:
    site.version = _AXES_ATTRIBUTE_OPSET
    site.replace([_normalize(site, centre=False).scaled])


def _group_normalization(site: Site) -> None:
    raise Inexpressible("scale and bias for each channel have no form before opset 21")


DOWNWARD: dict[tuple[str, int], Adapter] = {
    **{
        key: _reduce if key[0].startswith("Reduce") else _axes_to_attribute(attribute)
        for key, attribute in AXES_AS_INPUT.items()
    },
    ("BatchNormalization", 14): _batch_normalization,
    ("CastLike", 15): _cast_like,
    ("Clip", 11): _clip,
    ("Constant", 12): _constant,
    ("DFT", 20): _dft,
    ("DequantizeLinear", 13): _per_tensor_only,
    ("Dropout", 10): _dropout_10,
    ("Dropout", 12): _dropout_12,
    ("Gemm", 11): _gemm,
    ("GridSample", 20): _grid_sample,
    ("GroupNormalization", 21): _group_normalization,
    ("Hardmax", 13): _softmax,
    ("LayerNormalization", 17): _layer_normalization,
    ("LogSoftmax", 13): _softmax,
    ("Mod", 28): _mod,
    ("Pad", 11): _pad_11,
    ("Pad", 18): _pad_18,
    ("Pad", 19): _pad_19,
    ("QuantizeLinear", 13): _per_tensor_only,
    ("RMSNormalization", 23): _rms_normalization,
    ("Reshape", 14): _reshape,
    ("Resize", 10): _resize_10,
    ("Resize", 11): _resize_11,
    ("Resize", 13): _resize_13,
    ("Resize", 19): _resize_19,
    ("RoiAlign", 16): _roi_align,
    ("Scan", 9): _scan,
    ("ScatterElements", 11): _scatter_elements_11,
    ("ScatterElements", 18): _scatter_18,
    ("ScatterND", 18): _scatter_18,
    ("Shape", 15): _shape,
    ("Slice", 10): _slice_10,
    ("Softmax", 13): _softmax,
    ("Split", 18): _split_18,
    ("TopK", 10): _top_k,
}
"""Adapters by operator and the version that they lead away from."""
