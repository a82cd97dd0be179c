"""Resizing of images.

TFLite's kernels know three maps from places in the result to places in the input. A map of ONNX is
taken where it is one of them; for nearest neighbours, where both choose the same elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Shape, Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute, ints_attribute, text_attribute
from irconv_tflite.ops.convolution import lift, lower_plane
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.registry import NHWC, emits
from irconv_tflite.ops.shapes import shape_of
from irconv_tflite.ops.window import channels_first, channels_last

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__: list[str] = []

_NEAREST_DTYPES = ("float32", "uint8", "int8")
_WAY_OUT = "export it with mode linear or nearest and coordinates half_pixel or asymmetric"
_SCALES, _SIZES = 2, 3
_SAMPLE = 13


@dataclass(frozen=True)
class _Map:
    """How a kernel maps places: by the corners, by the middles of pixels, or neither."""

    align_corners: bool
    half_pixel: bool


_MAPS = {
    "asymmetric": _Map(align_corners=False, half_pixel=False),
    "half_pixel": _Map(align_corners=False, half_pixel=True),
    "pytorch_half_pixel": _Map(align_corners=False, half_pixel=True),
    "half_pixel_symmetric": _Map(align_corners=False, half_pixel=True),
    "align_corners": _Map(align_corners=True, half_pixel=False),
}


@emits("Resize", domain=NHWC)
@emits("Resize")
def resize(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Resize of spatial dimensions: RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR."""
    mode = text_attribute(node, "mode", "nearest")
    rank = graph.rank(node.inputs[0])
    if rank not in (3, 4) or mode not in ("linear", "nearest"):
        raise RefusalError(
            "UNSUPPORTED_FORM", f"TFLite does not resize rank {rank} in mode {mode}", _WAY_OUT
        )
    before, after = _spatial(graph, node, node.inputs[0]), _spatial(graph, node, node.outputs[0])
    scales = _spatial_scales(graph, node, rank)
    chosen = _choose(node, mode, before, after, scales)
    dtype = graph.dtype(node.inputs[0])
    kind = compute_dtype(dtype, FLOAT if mode == "linear" else _NEAREST_DTYPES)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    target = _target(graph, node, x, after, scales)
    is_line = rank == 3
    if is_line:
        x = lift(graph, x)
        one = graph.constant(np.array([1], np.int32))
        target = graph.op("CONCATENATION", [one, target], (2,), axis=0)
    assert x.shape is not None
    shape: Shape = (x.shape[0], *((1,) if is_line else ()), *after, x.shape[-1])
    code = "RESIZE_BILINEAR" if mode == "linear" else "RESIZE_NEAREST_NEIGHBOR"
    result = graph.op(
        code,
        [x, target],
        shape,
        alignCorners=chosen.align_corners,
        halfPixelCenters=chosen.half_pixel,
    )
    if is_line:
        result = lower_plane(graph, result)
    graph.write(node.outputs[0], channels_first(graph, node, result))


def _spatial(graph: GraphWriter, node: ir.Node, value: ir.Value | None) -> Shape:
    """Return the spatial sizes of an activation; other sizes must not change."""
    shape = graph.shape(value)
    return shape[1:-1] if node.domain == NHWC else shape[2:]


def _axes(node: ir.Node, rank: int) -> list[int]:
    axes = ints_attribute(node, "axes")
    return list(range(rank)) if axes is None else [axis % rank for axis in axes]


def _spatial_scales(graph: GraphWriter, node: ir.Node, rank: int) -> list[float] | None:
    """Return the constant scales of the spatial dimensions; None where sizes are given."""
    value = given(node, _SCALES)
    known = None if value is None else graph.array(value)
    if value is None or (known is not None and known.size == 0):
        _require_kept(graph, node)
        return None
    if known is None:
        raise RefusalError("NOT_CONSTANT", "its scales are computed", "export it with sizes")
    scales = dict(zip(_axes(node, rank), known.tolist(), strict=True))
    if any(scales.get(axis, 1.0) != 1.0 for axis in (0, 1)):
        raise _more_than_space()
    return [scales.get(axis, 1.0) for axis in range(2, rank)]


def _require_kept(graph: GraphWriter, node: ir.Node) -> None:
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    kept = (0, len(before) - 1) if node.domain == NHWC else (0, 1)
    if not {0, 1} & set(_axes(node, len(before))):
        return
    if any(before[axis] != after[axis] for axis in kept if None not in (before[axis], after[axis])):
        raise _more_than_space()


def _more_than_space() -> RefusalError:
    return RefusalError(
        "UNSUPPORTED_FORM", "TFLite resizes spatial dimensions only", "resize those by Gather"
    )


def _choose(
    node: ir.Node, mode: str, before: Shape, after: Shape, scales: list[float] | None
) -> _Map:
    """Return the kernel's map that equals the node's, or refuse."""
    coordinates = text_attribute(node, "coordinate_transformation_mode", "half_pixel")
    policy = text_attribute(node, "keep_aspect_ratio_policy", "stretch")
    wanted = _MAPS.get(coordinates)
    odd = int_attribute(node, "exclude_outside", 0) or policy != "stretch"
    if wanted is None or odd or (int_attribute(node, "antialias", 0) and mode == "linear"):
        raise RefusalError(
            "UNSUPPORTED_FORM",
            f"TFLite does not resize by {coordinates} coordinates, with antialias, or with an "
            f"aspect ratio to keep",
            _WAY_OUT,
        )
    if scales is not None:
        for old, new, scale in zip(before, after, scales, strict=True):
            whole = old is None and scale == int(scale)
            if not whole and (old is None or new is None or abs(old * scale - new) > 1e-4):
                raise RefusalError(
                    "UNSUPPORTED_FORM",
                    f"a scale of {scale} does not lead to a whole size, and TFLite takes sizes",
                    "export it with sizes",
                )
    if coordinates == "pytorch_half_pixel" and 1 in after:
        raise RefusalError("UNSUPPORTED_FORM", "a size of 1 is a special case", _WAY_OUT)
    if coordinates == "align_corners" and 1 in after and mode == "linear":
        wanted = _MAPS["asymmetric"]
    return wanted if mode == "linear" else _nearest(node, coordinates, before, after, scales)


def _nearest(
    node: ir.Node,
    coordinates: str,
    before: Shape,
    after: Shape,
    scales: list[float] | None,
) -> _Map:
    """Return a map with which the kernel chooses the same elements."""
    rounding = text_attribute(node, "nearest_mode", "round_prefer_floor")
    pairs = []
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is not None and new is not None:
            pairs.append((old, new))
        elif scales is not None:
            pairs.append((_SAMPLE, int(_SAMPLE * scales[index])))
        elif (coordinates, rounding) in _SURE:
            return _MAPS[coordinates]
        else:
            raise RefusalError(
                "DYNAMIC_SHAPE",
                "which elements are nearest depends on sizes that only the run knows",
                "bind the spatial dimensions with --shape, or export it as asymmetric and floor",
            )
    for candidate in dict.fromkeys((_MAPS[coordinates], *_MAPS.values())):
        if all(
            np.array_equal(_onnx_places(*pair, coordinates, rounding), _places(*pair, candidate))
            for pair in pairs
        ):
            return candidate
    raise RefusalError(
        "UNSUPPORTED_FORM", "TFLite would choose other elements as the nearest", _WAY_OUT
    )


_SURE = {("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil")}
_ROUNDING: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _onnx_places(old: int, new: int, coordinates: str, rounding: str) -> Array:
    """Return which elements ONNX chooses along a dimension."""
    places = np.arange(new, dtype=np.float64)
    if coordinates == "align_corners":
        places = places * ((old - 1) / (new - 1)) if new > 1 else places * 0
    elif coordinates == "asymmetric":
        places = places * (old / new)
    else:
        places = (places + 0.5) * (old / new) - 0.5
    chosen: Array = np.clip(_ROUNDING[rounding](places), 0, old - 1)
    return chosen


def _places(old: int, new: int, chosen: _Map) -> Array:
    """Return which elements the kernel chooses, in its float32."""
    places = np.arange(new, dtype=np.float32)
    if chosen.align_corners and new > 1:
        step = np.float32(old - 1) / np.float32(new - 1)
        places = places * step + np.float32(0.5)
    else:
        step = np.float32(old) / np.float32(new)
        places = (places + np.float32(0.5 if chosen.half_pixel else 0)) * step
    result: Array = np.clip(np.floor(places), 0, old - 1)
    return result


def _target(
    graph: GraphWriter, node: ir.Node, x: Tensor, after: Shape, scales: Sequence[float] | None
) -> Tensor:
    """Return the spatial sizes of the result as an int32 vector."""
    count = len(after)
    if None not in after:
        return graph.constant(np.array(after, np.int32))
    if scales is not None:
        bounds = [graph.constant(np.array([item], np.int32)) for item in (1, count)]
        sizes = graph.op("SLICE", [shape_of(graph, x), *bounds], (count,))
        return binary(graph, "MUL", sizes, graph.constant(np.array(scales, np.int32)))
    axes = _axes(node, count + 2)
    if axes[-count:] != list(range(2, count + 2)):
        raise RefusalError("UNSUPPORTED_FORM", "its axes are in another order", _WAY_OUT)
    sizes = graph.read(given(node, _SIZES), "int32")
    bounds = [graph.constant(np.array([item], np.int32)) for item in (len(axes) - count, count)]
    return graph.op("SLICE", [sizes, *bounds], (count,))
