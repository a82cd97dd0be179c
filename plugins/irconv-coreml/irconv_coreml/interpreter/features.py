"""The features of a model description: dtypes and the shapes that they admit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from irconv.errors import InputError

__all__ = ["FeatureType", "decode_features"]

_ARRAY_DTYPES = {65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8",
                 65552: "float16"}  # fmt: skip
_CHANNELS = {10: 1, 20: 3, 30: 3, 40: 1}
_GRAYSCALE_FLOAT16 = 40


@dataclass(frozen=True)
class FeatureType:
    """One input, output or state.

    Attributes:
        dtype: ``float32``, ``float64``, ``int32``, ``int8``, ``float16``; for an image the dtype
            of its pixels.
        ranges: Least and greatest size of each dimension; no greatest is None. The whole is
            None for an output whose shape is not stated.
        enumerated: The only shapes that it takes; empty where the ranges decide.
        is_image: Whether it is an image of shape ``[1, channels, height, width]``.
    """

    dtype: str
    ranges: tuple[tuple[int, int | None], ...] | None
    enumerated: tuple[tuple[int, ...], ...] = ()
    is_image: bool = False

    def explain_refusal(self, shape: tuple[int, ...]) -> str:
        """Return why an array of ``shape`` does not fit, or the empty string."""
        if self.enumerated:
            if shape in self.enumerated:
                return ""
            return f"it takes the shapes {', '.join(str(list(s)) for s in self.enumerated)}"
        if self.ranges is None:
            return ""
        fits = len(shape) == len(self.ranges) and all(
            low <= size and (high is None or size <= high)
            for size, (low, high) in zip(shape, self.ranges, strict=True)
        )
        return "" if fits else f"it takes [{', '.join(_range_text(*r) for r in self.ranges)}]"


def _range_text(low: int, high: int | None) -> str:
    if low == high:
        return str(low)
    return f"{low}..{'' if high is None else high}"


def decode_features(messages: Any) -> dict[str, FeatureType]:
    """Return the features of ``FeatureDescription`` messages by name.

    Raises:
        InputError: If one is neither an array nor an image.
    """
    return {message.name: _decode(message) for message in messages}


def _decode(message: Any) -> FeatureType:
    kind = message.type
    if kind.HasField("imageType"):
        return _image(kind.imageType)
    if kind.HasField("stateType"):
        return _array(kind.stateType.arrayType)
    if kind.HasField("multiArrayType"):
        return _array(kind.multiArrayType)
    raise InputError(
        f"the feature {message.name!r} of the package is neither an array nor an image",
        where="Core ML package",
        hint="make the package again",
    )


def _array(message: Any) -> FeatureType:
    dtype = _ARRAY_DTYPES.get(message.dataType)
    if dtype is None:
        raise InputError(
            f"the package has a feature of the unknown dtype {message.dataType}",
            where="Core ML package",
            hint="make the package again",
        )
    if message.HasField("enumeratedShapes"):
        shapes = tuple(tuple(shape.shape) for shape in message.enumeratedShapes.shapes)
        return FeatureType(dtype, None, shapes)
    if message.HasField("shapeRange"):
        return FeatureType(dtype, tuple(_range(item) for item in message.shapeRange.sizeRanges))
    if not message.shape:
        return FeatureType(dtype, None)
    return FeatureType(dtype, tuple((size, size) for size in message.shape))


def _image(message: Any) -> FeatureType:
    channels = _CHANNELS.get(message.colorSpace, 0)
    dtype = "float16" if message.colorSpace == _GRAYSCALE_FLOAT16 else "uint8"
    if message.HasField("enumeratedSizes"):
        shapes = tuple((1, channels, s.height, s.width) for s in message.enumeratedSizes.sizes)
        return FeatureType(dtype, None, shapes, is_image=True)
    if message.HasField("imageSizeRange"):
        area = message.imageSizeRange
        sizes = (_range(area.heightRange), _range(area.widthRange))
    else:
        sizes = ((message.height, message.height), (message.width, message.width))
    return FeatureType(dtype, ((1, 1), (channels, channels), *sizes), is_image=True)


def _range(message: Any) -> tuple[int, int | None]:
    return message.lowerBound, None if message.upperBound < 0 else message.upperBound
