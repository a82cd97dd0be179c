"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.backends.base import Backend
from irconv.hookspecs import hookimpl
from irconv_openvino.backend import OpenvinoBackend

__all__ = ["irconv_backends"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of the target ``openvino``."""
    return [OpenvinoBackend]
