"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.backends.base import Backend
from irconv.hookspecs import hookimpl
from irconv.passes.base import Pass

__all__ = ["irconv_backends", "irconv_passes"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backends of this distribution."""
    return []


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes of this distribution."""
    return []
