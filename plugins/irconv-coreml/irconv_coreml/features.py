"""What Core ML is told about the inputs: ranges of shapes, and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.backends.base import EmitRequest
from irconv.shapes import DimRange
from irconv_coreml.interface import Feature

if TYPE_CHECKING:
    from irconv_coreml.backend import CoremlBackend
    from irconv_coreml.program import Program

__all__ = ["input_types"]

_LARGEST = 8192
"""The largest size of a dimension that no ``--shape`` bounds; Core ML wants a bound."""


def input_types(
    coremltools: Any, program: Program, request: EmitRequest, backend: CoremlBackend
) -> list[Any]:
    """Return a ``TensorType`` or ``ImageType`` for each input, in order."""
    inputs = program.mil.functions["main"].inputs
    described: list[Any] = []
    for feature in program.inputs:
        shape = _shape(coremltools, feature, inputs[feature.coreml], request, backend)
        if feature.image is None:
            dtype = getattr(np, feature.coreml_dtype)
            described.append(coremltools.TensorType(name=feature.coreml, shape=shape, dtype=dtype))
            continue
        gray = feature.image.color == "GRAY"
        described.append(
            coremltools.ImageType(
                name=feature.coreml,
                shape=shape,
                scale=feature.image.scale,
                bias=feature.image.bias[0] if gray else list(feature.image.bias),
                color_layout="G" if gray else feature.image.color,
                channel_first=True,
            )
        )
    return described


def _shape(
    coremltools: Any, feature: Feature, var: Any, request: EmitRequest, backend: CoremlBackend
) -> Any:
    ranges = [
        DimRange(dim, dim, dim)
        if isinstance(dim, int)
        else request.shapes.get(dim or "", DimRange(1, 1, _LARGEST))
        for dim in feature.coreml_shape
    ]
    dynamic = [not isinstance(dim, int) for dim in feature.coreml_shape]
    if backend.shapes == "enumerated" and any(dynamic):
        sets = [
            tuple(getattr(span, name) for span in ranges) for name in ("minimum", "best", "maximum")
        ]
        distinct = list(dict.fromkeys(sets))
        if len(distinct) > 1:
            return coremltools.EnumeratedShapes(shapes=distinct, default=sets[1])
    parts: list[Any] = []
    for span, is_dynamic, symbol in zip(ranges, dynamic, var.shape, strict=True):
        if not is_dynamic:
            parts.append(span.best)
            continue
        part = coremltools.RangeDim(span.minimum, span.maximum, default=span.best)
        part.symbol = symbol
        parts.append(part)
    return coremltools.Shape(parts)
