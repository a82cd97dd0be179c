"""The hooks through which irconv finds this plugin's backend and passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.hookspecs import hookimpl

if TYPE_CHECKING:
    from irconv.backends.base import Backend


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of target ``trt``."""
    from irconv_trt.backend import TrtBackend

    return [TrtBackend]
