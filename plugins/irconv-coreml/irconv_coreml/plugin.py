"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.backends.base import Backend
from irconv.hookspecs import hookimpl
from irconv.passes.base import Pass
from irconv_coreml.backend import CoremlBackend
from irconv_coreml.compress_weights import BlockQuantizeWeights, PalettizeWeights
from irconv_coreml.merge_dimensions import MergeDimensions
from irconv_coreml.passes import LegalizeCoreml

__all__ = ["irconv_backends", "irconv_passes"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of the target ``coreml``."""
    return [CoremlBackend]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes that fit a model to MIL."""
    return [BlockQuantizeWeights, LegalizeCoreml, MergeDimensions, PalettizeWeights]
