"""Where one run of a pass acts: asked for before each rewrite, and counted."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.base import PassContext, Site

__all__ = ["Sites"]


class Sites:
    """The account of one run of a pass; make a new one for each run.

    A pass asks :meth:`permit` once for each match, after all of its conditions hold and before
    it changes anything::

        sites = Sites(context)
        ...
        elif found is not None and sites.permit(node):
            _fuse(found)
        ...
        return PassResult(bool(sites.made), details, refusals, sites.made)

    Args:
        context: The context of the run; ``max_sites`` bounds how many sites are permitted.
    """

    def __init__(self, context: PassContext) -> None:
        self._limit = context.max_sites
        self._made: list[Site] = []

    @property
    def made(self) -> tuple[Site, ...]:
        """The sites that were permitted, in order."""
        return tuple(self._made)

    def permit(self, place: ir.Node | Site) -> bool:
        """Say whether the pass may act at a place, and note it.

        Args:
            place: The node that a refusal would name; a site where that is no node, such as an
                initializer.
        """
        if self._limit is not None and len(self._made) >= self._limit:
            return False
        if isinstance(place, ir.Node):
            place = Site(place.name or "", place.op_type)
        self._made.append(place)
        return True
