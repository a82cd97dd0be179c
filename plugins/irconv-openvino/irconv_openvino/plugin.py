"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.hookspecs import hookimpl

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.passes.base import Pass

__all__ = ["irconv_backends", "irconv_passes"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backend of the target ``openvino``."""
    from irconv_openvino.backend import OpenvinoBackend

    return [OpenvinoBackend]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes that fit a model to OpenVINO."""
    from irconv_openvino.passes.insert_int8_barriers import InsertInt8Barriers
    from irconv_openvino.passes.legalize_openvino import LegalizeOpenvino
    from irconv_openvino.passes.restore_infinities import RestoreInfinities
    from irconv_openvino.passes.rewrite_int8_concat import RewriteInt8Concat

    return [LegalizeOpenvino, RestoreInfinities, RewriteInt8Concat, InsertInt8Barriers]
