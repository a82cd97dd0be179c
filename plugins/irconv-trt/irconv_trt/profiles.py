"""Optimization profiles: the sizes that each dynamic dimension of an input may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from irconv.errors import Diagnostic

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.shapes import DimRange

__all__ = ["Profile", "missing_ranges", "profile_of"]

Profile = dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
"""For each input with dynamic dimensions: its smallest, best and largest shape."""


def missing_ranges(model: ir.Model, shapes: Mapping[str, DimRange]) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each input whose shape no profile can be made for."""
    for value in _fed_inputs(model):
        if value.shape is None:
            yield Diagnostic(
                "UNKNOWN_RANK",
                f"input {value.name!r} has no known rank",
                way_out=f"state its shape, for example --input '{value.name}[1,3,224,224]'",
            )
            continue
        open_axes = [axis for axis in range(len(value.shape)) if not _known(value, axis, shapes)]
        if open_axes:
            dims = ", ".join(f"{_key(value, axis)!r}" for axis in open_axes)
            example = ",".join(f"{_key(value, axis)}=1..8@4" for axis in open_axes)
            yield Diagnostic(
                "DYNAMIC_DIM",
                f"input {value.name!r} has dimensions of unknown range: {dims}; an engine is "
                "built for a range of sizes",
                way_out=f"give each a range MIN..MAX@BEST or a size, for example "
                f"--shape '{example}'",
            )


def profile_of(model: ir.Model, shapes: Mapping[str, DimRange]) -> Profile:
    """Return the profile of every input with dynamic dimensions; all of them have ranges."""
    profile: Profile = {}
    for value in _fed_inputs(model):
        assert value.shape is not None
        if value.shape.is_static():
            continue
        bounds = [_bounds(value, axis, shapes) for axis in range(len(value.shape))]
        low, best, high = zip(*bounds, strict=True)
        profile[value.name or ""] = (low, best, high)
    return profile


def _fed_inputs(model: ir.Model) -> Iterator[ir.Value]:
    initializers = model.graph.initializers
    return (value for value in model.graph.inputs if value.name not in initializers)


def _key(value: ir.Value, axis: int) -> str:
    assert value.shape is not None
    dim = value.shape[axis]
    name = None if isinstance(dim, int) else dim.value
    return name if name is not None else f"{value.name}[{axis}]"


def _known(value: ir.Value, axis: int, shapes: Mapping[str, DimRange]) -> bool:
    assert value.shape is not None
    return isinstance(value.shape[axis], int) or _key(value, axis) in shapes


def _bounds(value: ir.Value, axis: int, shapes: Mapping[str, DimRange]) -> tuple[int, int, int]:
    assert value.shape is not None
    dim = value.shape[axis]
    if isinstance(dim, int):
        return dim, dim, dim
    span = shapes[_key(value, axis)]
    return span.minimum, span.best, span.maximum
