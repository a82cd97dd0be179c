"""Reductions over dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from irconv.frontends.tflite.edges import last_to_first
from irconv.frontends.tflite.ops.registry import converts

if TYPE_CHECKING:
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_REDUCTIONS: Mapping[str, str] = {
    "MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_PROD": "ReduceProd",
    "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin",
}  # fmt: skip


@converts(*_REDUCTIONS)
def reduce(site: Site) -> None:
    """Reductions of numbers; those over pixels leave channels where they are."""
    x, nodes = site.input(0), site.nodes
    keeps = bool(site.option("keep_dims"))
    name = _REDUCTIONS[site.code]
    axes = site.ints(1)
    if axes is None:
        value = nodes.op(name, x.real(), site.int64(1), keepdims=int(keeps))
        site.write(value)
        return
    axes = sorted({axis % x.rank for axis in axes}) if x.rank else []
    if not axes:
        site.write(x.real())
        return
    order = last_to_first(x.rank) if x.is_first else list(range(x.rank))
    left = [axis for axis in order if axis not in axes]
    first = x.is_first and (keeps or left == sorted(left))
    places = sorted(order.index(axis) for axis in axes) if first else axes
    value = nodes.op(name, x.real(first=first), nodes.ints(places), keepdims=int(keeps))
    site.write(value, first=first and keeps)


@converts("REDUCE_ANY", "REDUCE_ALL")
def reduce_truth(site: Site) -> None:
    """REDUCE_ANY and REDUCE_ALL: the largest and the smallest of zeros and ones."""
    nodes = site.nodes
    name = "ReduceMax" if site.code == "REDUCE_ANY" else "ReduceMin"
    numbers = nodes.cast(site.input(0).raw(), "int32")
    keeps = int(bool(site.option("keep_dims")))
    value = nodes.op(name, numbers, site.int64(1), keepdims=keeps, noop_with_empty_axes=1)
    site.output().set_raw(nodes.op("Greater", value, nodes.constant(0, "int32")))
