"""What irconv finds through the entry point: the hooks of this plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.hookspecs import hookimpl

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.passes.base import Pass


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the passes of this plugin."""
    from irconv_example.replace_div_by_constant import ReplaceDivByConstant

    return [ReplaceDivByConstant]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backends of this plugin."""
    from irconv_example.reference import ReferenceBackend

    return [ReferenceBackend]
