"""All passes of the core, in the order in which ``irconv passes`` lists them."""

from __future__ import annotations

from irconv.passes.base import Pass

__all__ = ["PASSES"]

PASSES: tuple[type[Pass], ...] = ()
