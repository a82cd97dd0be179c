"""The border between a source model and its Core ML form: the contract of emitter and runner.

The emitter writes these facts into ``Artifact.data`` as JSON; a runner needs nothing else beside
the package itself. ``Artifact.main`` is the package, ``model.mlpackage``.

``Artifact.data`` holds:

``inputs``, ``outputs``
    One :class:`Feature` each for every input and output of the source, in the source's order. An
    input without elements that nothing reads has no place in the package, nor here.
``function``
    The name of the default function, ``main``.
``functions``
    With ``coreml{shapes=functions}``, one :class:`FunctionShapes` each for the functions of the
    package, in the order in which they are to be tried; otherwise an empty list. All functions
    have the same features, with static shapes.
``weights``
    The :class:`WeightDigest` of each large constant that the package holds, as the emitter handed
    it over, under the name that it has in the source; of compressed ones the integers, scales and
    tables. The package must hold a constant of the same dtype, shape and digest; under which name
    is not promised, and equal constants may have become one.

How values cross the border, both ways:

* ``coreml_dtype`` is the dtype of the feature: ``int32`` for every integer dtype and for bool
  (0 and 1), ``float32`` or ``float16`` for floats. An integer that does not fit, or a finite float
  that becomes infinite, is bad input.
* ``coreml_shape`` is the shape of the feature. It differs from ``shape`` only for a scalar, which
  is ``[1]`` in Core ML.
* An ``image`` input holds, in the source's terms, ``scale * pixel + bias`` for pixels of 0 to 255;
  the package itself computes that, so the feature is the pixels. A reference run feeds the
  pixels as float32 of the source's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["PACKAGE", "Feature", "FunctionShapes", "ImageFormat", "WeightDigest"]

PACKAGE = "model.mlpackage"

_Dim = int | str | None


@dataclass(frozen=True)
class ImageFormat:
    """How an image input is read.

    Attributes:
        color: ``RGB``, ``BGR`` or ``GRAY``.
        scale: Factor of a pixel's value.
        bias: One addend a channel, after the factor.
    """

    color: str
    scale: float
    bias: tuple[float, ...]


@dataclass(frozen=True)
class Feature:
    """One input or output.

    Attributes:
        name: Its name in the source.
        coreml: Its name in the package.
        dtype: Full dtype name in the source, such as ``int64``.
        coreml_dtype: ``int32``, ``float32`` or ``float16``.
        shape: The source's shape: sizes, names of dynamic dimensions, None where unknown.
        coreml_shape: The feature's shape, in the same terms.
        image: How it is read, where it is an image.
    """

    name: str
    coreml: str
    dtype: str
    coreml_dtype: str
    shape: tuple[_Dim, ...]
    coreml_shape: tuple[_Dim, ...]
    image: ImageFormat | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the feature as it stands in ``Artifact.data``."""
        document = asdict(self) | {
            "shape": list(self.shape),
            "coreml_shape": list(self.coreml_shape),
        }
        if self.image is None:
            del document["image"]
        else:
            document["image"]["bias"] = list(self.image.bias)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a feature from :meth:`to_json`."""
        image = document.get("image")
        return cls(
            document["name"],
            document["coreml"],
            document["dtype"],
            document["coreml_dtype"],
            tuple(document["shape"]),
            tuple(document["coreml_shape"]),
            None if image is None else ImageFormat(**(image | {"bias": tuple(image["bias"])})),
        )


@dataclass(frozen=True)
class FunctionShapes:
    """A function of a package with several, and the inputs that it takes.

    Attributes:
        name: The function's name.
        shapes: The static shape of each input, in Core ML's terms, by its name in the source.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the function as it stands in ``Artifact.data``."""
        return {"name": self.name, "shapes": {key: list(dims) for key, dims in self.shapes.items()}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a function from :meth:`to_json`."""
        shapes = {name: tuple(dims) for name, dims in document["shapes"].items()}
        return cls(document["name"], shapes)


@dataclass(frozen=True)
class WeightDigest:
    """A constant as it was handed over.

    Attributes:
        sha256: Digest of its elements, little-endian in C order, in ``dtype``; hexadecimal.
        dtype: NumPy name of the dtype that it has in the package, such as ``float16``.
        shape: Its sizes.
    """

    sha256: str
    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the digest as it stands in ``Artifact.data``."""
        return {"sha256": self.sha256, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a digest from :meth:`to_json`."""
        return cls(document["sha256"], document["dtype"], tuple(document["shape"]))
