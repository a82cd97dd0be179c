"""Running a package in Core ML itself, on macOS."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import BackendError, InputError
from irconv_coreml.sdk import load_coremltools

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["NativeModel", "has_core_ml"]

_WHERE = "Core ML"
_LARGEST_PIXEL = 255


def has_core_ml() -> bool:
    """Say whether Core ML is here."""
    return sys.platform == "darwin"


class NativeModel:
    """A package that Core ML has compiled and loaded.

    Args:
        path: The package.
        images: Names and colors of the features that are images.
    """

    def __init__(self, path: Path, images: Mapping[str, str]) -> None:
        self._path = path
        self._images = images
        self._models: dict[str, Any] = {}

    def predict(self, name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a function, empty for the default one; outputs by name.

        Raises:
            InputError: If an image's pixels are no whole numbers from 0 to 255.
            BackendError: If Core ML fails.
        """
        feeds = {
            key: _picture(key, value, self._images[key]) if key in self._images else value
            for key, value in inputs.items()
        }
        try:
            if name not in self._models:
                coremltools = load_coremltools()
                self._models[name] = coremltools.models.MLModel(
                    str(self._path),
                    compute_units=coremltools.ComputeUnit.CPU_ONLY,
                    function_name=name or None,
                )
            outputs = self._models[name].predict(feeds)
        except (RuntimeError, ValueError, TypeError) as error:
            raise BackendError(f"Core ML: {str(error).splitlines()[0]}", where=_WHERE) from error
        return {key: np.asarray(value) for key, value in outputs.items()}


def _picture(name: str, pixels: Array, color: str) -> Any:
    from PIL import Image

    whole = np.rint(pixels)
    if np.abs(whole - pixels).max() > 1e-3 or whole.min() < 0 or whole.max() > _LARGEST_PIXEL:
        raise InputError(
            f"input {name!r} is an image and holds what is no pixel of 0 to 255",
            where="target coreml",
            hint="feed scale * pixel + bias for whole pixels",
        )
    planes = whole[0].astype(np.uint8)
    if color == "GRAY":
        return Image.fromarray(planes[0])
    return Image.fromarray(np.moveaxis(planes[::-1] if color == "BGR" else planes, 0, -1))
