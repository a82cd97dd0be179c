"""Where every output of a Resize lies between its inputs, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.decompose.block import Dim, Keep
from irconv.passes.decompose.expression import Expr, Number, floor, number_of
from irconv.passes.decompose.site import Site

__all__ = ["AxisPlan", "plan_axes"]

_FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True)
class AxisPlan:
    """What happens along one axis.

    Attributes:
        axis: The axis.
        size: Size of the input.
        scale: Size of the output by that of the input, before rounding.
        position: Position of each output in the input.
        cropped: Whether outputs outside of the input take the extrapolation value.
    """

    axis: int
    size: Dim
    scale: Number
    position: Number
    cropped: bool


def plan_axes(site: Site) -> list[AxisPlan]:
    """Return a plan for every axis whose items do not stay as they are."""
    data = site.input(0)
    rank = site.rank(data)
    axes = [axis % rank for axis in site.attribute("axes", list(range(rank)))]
    sizes = [site.size(data, axis) for axis in axes]
    scales, outputs = _scales(site, axes, sizes)
    mode = site.attribute("coordinate_transformation_mode", "half_pixel")
    plans: list[AxisPlan] = []
    for number, axis in enumerate(axes):
        scale, size, output = scales[number], sizes[number], outputs[number]
        unscaled = not isinstance(scale, Expr) and float(np.asarray(scale)) == 1.0
        single = size == 1 and output == 1
        if (unscaled or single) and mode != "tf_crop_and_resize":
            continue
        roi = _roi(site, number, len(axes)) if mode == "tf_crop_and_resize" else None
        position = _position(site, mode, size, scale, output, roi)
        plans.append(AxisPlan(axis, size, scale, position, roi is not None))
    return plans


def _items(site: Site, index: int, count: int) -> list[Number] | None:
    """Return the items of an input of rank 1; None where it is absent or empty."""
    value = site.maybe(index)
    if value is None or (value.shape is not None and site.dims(value) == (0,)):
        return None
    tensor = constant_tensor(value)
    if tensor is not None:
        array = np.asarray(tensor.numpy()).astype(np.float64)
        return [float(item) for item in array] if array.size == count else None
    found = site.cast(value, _FLOAT)
    parts = [site.op("Gather", found, site.scalar(i, ir.DataType.INT64)) for i in range(count)]
    return [Expr(site, part) for part in parts]


def _scales(
    site: Site, axes: Sequence[int], sizes: Sequence[Dim]
) -> tuple[list[Number], list[Dim]]:
    """Return scale and size of the output for each axis."""
    numbers = [number_of(site, size) for size in sizes]
    scales = _items(site, 2, len(axes))
    if scales is not None:
        wanted = [floor(size * scale) for size, scale in zip(numbers, scales, strict=True)]
        return scales, _outputs(site, axes, wanted)
    goals = _items(site, 3, len(axes))
    if goals is None:
        raise Keep("it has neither scales nor sizes")
    policy = site.attribute("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        outputs = _outputs(site, axes, goals)
        known = [
            float(out) if isinstance(out, int) else goal
            for out, goal in zip(outputs, goals, strict=True)
        ]
        return [goal / size for goal, size in zip(known, numbers, strict=True)], outputs
    scales = [goal / size for goal, size in zip(goals, numbers, strict=True)]
    scale = _extreme(site, scales, "Min" if policy == "not_larger" else "Max")
    wanted = [floor(scale * size + 0.5) for size in numbers]
    return [scale] * len(axes), _outputs(site, axes, wanted)


def _extreme(site: Site, scales: Sequence[Number], op_type: str) -> Number:
    values = [scale.value for scale in scales if isinstance(scale, Expr)]
    if not values:
        known = [float(np.asarray(scale)) for scale in scales if not isinstance(scale, Expr)]
        return min(known) if op_type == "Min" else max(known)
    if len(values) < len(scales):
        raise Keep("some of its dims are static and others are not")
    return Expr(site, site.op(op_type, *values))


def _outputs(site: Site, axes: Sequence[int], wanted: Sequence[Number]) -> list[Dim]:
    """Return the sizes of the output: as inferred, or as the formula says."""
    shape = site.node.outputs[0].shape
    found: list[Dim] = []
    for axis, number in zip(axes, wanted, strict=True):
        inferred = shape[axis] if shape is not None else None
        if not isinstance(number, Expr):
            found.append(int(np.asarray(number)))
        elif isinstance(inferred, int):
            found.append(inferred)
        else:
            size = site.cast(number.value, ir.DataType.INT64)
            found.append(site.reshape(size, [1]))
    return found


def _roi(site: Site, number: int, count: int) -> tuple[Number, Number]:
    items = _items(site, 1, 2 * count)
    if items is None:
        raise Keep("it crops, and has no roi")
    return items[number], items[number + count]


def _position(
    site: Site,
    mode: str,
    size: Dim,
    scale: Number,
    output: Dim,
    roi: tuple[Number, Number] | None,
) -> Number:
    """Return the position of each output by ``coordinate_transformation_mode``."""
    length = number_of(site, size)
    y: Number
    if isinstance(output, int):
        y = np.arange(output, dtype=np.float64)
    else:
        y = Expr(site, site.cast(site.count(output), _FLOAT))
    if mode == "asymmetric":
        return y / scale
    if mode in ("align_corners", "tf_crop_and_resize"):
        start, end = roi or (0.0, 1.0)
        span = (end - start) * (length - 1.0)
        first = start * (length - 1.0)
        if output == 1:
            return y + (first + span / 2.0 if roi else first)
        return y * (span / (scale * length - 1.0)) + first
    middle = (y + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return y * 0.0 - 0.5 if output == 1 else middle
    if mode == "half_pixel_symmetric":
        adjustment = number_of(site, output) / (length * scale)
        return middle + length / 2.0 * (1.0 - adjustment)
    if mode == "half_pixel":
        return middle
    raise Keep(f"its coordinate_transformation_mode {mode!r} is unknown")
