"""The three hooks through which passes, frontends and backends come in.

A plugin is a distribution with an entry point in the group ``irconv`` that names a module (or
object) with functions marked by :data:`hookimpl`. Built-ins use the same hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.frontends.base import Frontend
    from irconv.passes.base import Pass

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "irconv"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def irconv_frontends() -> list[type[Frontend]]:
    """Return frontend classes: each brings one source format into the IR."""
    return []


@hookspec
def irconv_passes() -> list[type[Pass]]:
    """Return pass classes: each transforms the IR and knows no file format."""
    return []


@hookspec
def irconv_backends() -> list[type[Backend]]:
    """Return backend classes: each serves one target."""
    return []
