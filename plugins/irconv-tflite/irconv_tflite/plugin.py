"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.backends.base import Backend
from irconv.hookspecs import hookimpl
from irconv.passes.base import Pass
from irconv_tflite.backend import TfliteBackend
from irconv_tflite.passes.convert_layout import ConvertLayout
from irconv_tflite.passes.decompose_for_tflite import DecomposeForTflite
from irconv_tflite.passes.expand_for_tflite import ExpandForTflite
from irconv_tflite.passes.type_bodies import TypeBodies

__all__ = ["irconv_backends", "irconv_passes"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of the target ``tflite``."""
    return [TfliteBackend]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes that fit a model to TFLite."""
    return [ConvertLayout, DecomposeForTflite, ExpandForTflite, TypeBodies]
