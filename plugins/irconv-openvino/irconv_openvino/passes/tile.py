"""Tile with computed repeats, which OpenVINO gets wrong, by Reshape and Expand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.decompose.site import Site

__all__ = ["tile"]


def tile(site: Site) -> ir.Value:
    """ONNX Tile (since 13): each dimension gets one before it, which is expanded and merged."""
    data, repeats = site.input(0), site.input(1)
    rank = site.rank(data)
    if rank == 0:
        return site.op("Identity", data)
    sizes = site.op("Shape", data)
    ones = site.constant(np.ones(rank, np.int64))
    split = site.op("Reshape", data, _interleaved(site, ones, sizes), allowzero=1)
    expanded = site.op("Expand", split, _interleaved(site, repeats, sizes))
    return site.op("Reshape", expanded, site.op("Mul", repeats, sizes), allowzero=1)


def _interleaved(site: Site, first: ir.Value, second: ir.Value) -> ir.Value:
    """Return the vector that has items of ``first`` and ``second`` in turn."""
    columns = [site.op("Unsqueeze", column, [1]) for column in (first, second)]
    return site.op("Reshape", site.op("Concat", *columns, axis=1), [-1])
