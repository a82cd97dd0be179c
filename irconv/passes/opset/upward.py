"""Adapters to newer operator versions, for steps that the schemas alone do not settle.

Each is filed under the operator and the version that it leads to. The differences are those of
the ONNX operator changelog.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.passes.opset.common import AXES_AS_INPUT, Adapter, refuse_used_outputs
from irconv.passes.opset.site import Inexpressible, Site

__all__ = ["UPWARD"]


def _axes_to_input(name: str, index: int) -> Adapter:
    def adapt(site: Site) -> None:
        value = site.attribute(name)
        site.set(name, None)
        if value is not None:
            site.set_input(index, site.constant(value))

    return adapt


def _softmax(site: Site) -> None:
    """Until opset 11 the input is flattened to two dimensions at ``axis``."""
    axis = site.attribute("axis")
    axis = 1 if axis is None else axis
    rank = site.rank()
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        site.set("axis", -1)
        return
    data = site.needed(0)
    shape = site.emit("Shape", [data])
    flat = site.emit("Flatten", [data], {"axis": axis})
    result = site.emit(site.node.op_type, [flat], {"axis": -1})
    site.replace([site.emit("Reshape", [result, shape])])


def _clip(site: Site) -> None:
    dtype = _numpy_dtype(site.needed(0))
    for index, name in ((1, "min"), (2, "max")):
        value = site.attribute(name)
        site.set(name, None)
        if value is not None:
            site.set_input(index, site.constant(value, dtype))


def _numpy_dtype(value: ir.Value) -> object:
    if value.dtype is None or value.dtype == ir.DataType.UNDEFINED:
        raise Inexpressible("the dtype of its input is unknown; run infer-shapes first")
    return value.dtype.numpy()


def _pad(site: Site) -> None:
    pads, fill = site.attribute("pads"), site.attribute("value")
    site.set("pads", None)
    site.set("value", None)
    site.set_input(1, site.constant(pads))
    if fill:
        site.set_input(2, site.constant(fill, _numpy_dtype(site.needed(0))))


def _slice(site: Site) -> None:
    for index, name in ((1, "starts"), (2, "ends"), (3, "axes")):
        value = site.attribute(name)
        site.set(name, None)
        if value is not None:
            site.set_input(index, site.constant(value))


def _top_k(site: Site) -> None:
    k = site.attribute("k")
    site.set("k", None)
    site.set_input(1, site.constant([k]))


def _dropout_mask(site: Site) -> None:
    refuse_used_outputs(site, "the dtype of its mask output changed in opset 10")


def _dropout(site: Site) -> None:
    refuse_used_outputs(site, "its mask output means something else from opset 12 on")
    ratio = site.attribute("ratio")
    site.set("ratio", None)
    if ratio is not None:
        site.set_input(1, site.constant(ratio, np.float32))


def _split(site: Site) -> None:
    if site.input(1) is None:
        site.set("num_outputs", len(site.node.outputs))


def _batch_normalization_7(site: Site) -> None:
    for name in ("is_test", "consumed_inputs"):
        if name == "is_test" and not site.attribute(name):
            raise Inexpressible("it is in training mode")
        site.set(name, None)


def _batch_normalization_9(site: Site) -> None:
    if site.attribute("spatial") == 0:
        raise Inexpressible("spatial=0 does not exist from opset 9 on")
    site.set("spatial", None)


def _batch_normalization_14(site: Site) -> None:
    refuse_used_outputs(site, "its outputs beside the first mean training, which changed")


def _dropout_7(site: Site) -> None:
    if not site.attribute("is_test"):
        raise Inexpressible("it is in training mode")
    site.set("is_test", None)


def _broadcast(site: Site) -> None:
    """Opset 7 brought the broadcasting of numpy instead of ``broadcast`` and ``axis``."""
    broadcast, axis = site.attribute("broadcast"), site.attribute("axis")
    site.set("broadcast", None)
    site.set("axis", None)
    if not broadcast or axis is None:
        return
    first, second = site.needed_rank(0), site.needed_rank(1)
    trailing = first - axis % first - second
    if trailing > 0:
        axes = list(range(second, second + trailing))
        value = site.emit("Unsqueeze", [site.needed(1)], {"axes": axes})
        site.set_input(1, value)


def _prelu_7(site: Site) -> None:
    """Before opset 7 a slope vector held one element a channel, which is axis 1."""
    slope = site.needed(1)
    trailing = site.needed_rank(0) - 2
    if site.needed_rank(1) == 1 and trailing > 0 and list(slope.shape or ()) != [1]:
        axes = list(range(1, 1 + trailing))
        site.set_input(1, site.emit("Unsqueeze", [slope], {"axes": axes}))


def _gemm_7(site: Site) -> None:
    site.set("broadcast", None)


def _upsample_9(site: Site) -> None:
    scales = site.attribute("scales")
    site.set("scales", None)
    site.set_input(1, site.constant(scales, np.float32))


def _upsample_10(site: Site) -> None:
    attributes = {"mode": site.attribute("mode")}
    site.replace([site.emit("Resize", list(site.node.inputs), attributes)])


def _resize_11(site: Site) -> None:
    """Opset 10 maps coordinates asymmetrically and takes the floor."""
    scales = site.needed(1)
    site.set_input(1, site.constant([], np.float32))
    site.set_input(2, scales)
    site.set("coordinate_transformation_mode", "asymmetric")
    site.set("nearest_mode", "floor")


def _scan(site: Site) -> None:
    raise Inexpressible("Scan of opset 8 works on batches, which later versions do not")


def _scatter(site: Site) -> None:
    attributes = {"axis": site.attribute("axis")}
    site.replace([site.emit("ScatterElements", list(site.node.inputs), attributes)])


def _roi_align(site: Site) -> None:
    site.set("coordinate_transformation_mode", "output_half_pixel")


_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


def _grid_sample(site: Site) -> None:
    mode = site.attribute("mode") or "bilinear"
    site.set("mode", _GRID_MODES.get(mode, mode))


def _group_normalization(site: Site) -> None:
    """Until opset 20 scale and bias are per group, then per channel."""
    shape = site.needed(0).shape
    groups = site.attribute("num_groups")
    channels = None if shape is None or len(shape) < 2 else shape[1]
    if not isinstance(channels, int) or not groups or channels % groups:
        raise Inexpressible("its number of channels is unknown; run infer-shapes first")
    for index in (1, 2):
        column = site.emit("Reshape", [site.needed(index), site.constant([-1, 1])])
        wide = site.emit("Expand", [column, site.constant([1, channels // groups])])
        site.set_input(index, site.emit("Reshape", [wide, site.constant([-1])]))


def _dft(site: Site) -> None:
    axis = site.attribute("axis")
    site.set("axis", None)
    site.set_input(2, site.constant(1 if axis is None else axis))


UPWARD: dict[tuple[str, int], Adapter] = {
    **{
        (op_type, version): _axes_to_input(attribute, 1)
        for (op_type, version), attribute in AXES_AS_INPUT.items()
        if op_type != "DFT"
    },
    **{
        (name, 7): _broadcast
        for name in (
            "Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor",
        )
    },
    ("BatchNormalization", 7): _batch_normalization_7,
    ("BatchNormalization", 9): _batch_normalization_9,
    ("BatchNormalization", 14): _batch_normalization_14,
    ("Clip", 11): _clip,
    ("DFT", 20): _dft,
    ("Dropout", 7): _dropout_7,
    ("Dropout", 10): _dropout_mask,
    ("Dropout", 12): _dropout,
    ("Gemm", 7): _gemm_7,
    ("GridSample", 20): _grid_sample,
    ("GroupNormalization", 21): _group_normalization,
    ("Hardmax", 13): _softmax,
    ("LogSoftmax", 13): _softmax,
    ("PRelu", 7): _prelu_7,
    ("Pad", 11): _pad,
    ("Resize", 11): _resize_11,
    ("RoiAlign", 16): _roi_align,
    ("Scan", 9): _scan,
    ("Scatter", 11): _scatter,
    ("Slice", 10): _slice,
    ("Softmax", 13): _softmax,
    ("Split", 18): _split,
    ("TopK", 10): _top_k,
    ("Upsample", 9): _upsample_9,
    ("Upsample", 10): _upsample_10,
}  # fmt: skip
"""Adapters by operator and the version that they lead to."""
