"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.frontends.base import Frontend
from irconv.hookspecs import hookimpl
from irconv_jax.frontend import JaxFrontend

__all__ = ["irconv_frontends"]


@hookimpl
def irconv_frontends() -> list[type[Frontend]]:
    """Return the frontend ``jax``."""
    return [JaxFrontend]
