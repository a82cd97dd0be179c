"""Following sizes through the operators that compute them.

A model with a dynamic batch computes its shapes: the batch is taken from an input's shape and
packed with sizes that are known. The known ones are followed here, so that such a shape is
``[-1, 7, 7, 64]`` and not a chain of nodes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__ = ["follow_sizes", "known_items"]

Items = list[int | None]

_MOST = 64


def known_items(edge: Edge) -> Items | None:
    """Return the items of a tensor of integers, None for those that are computed at run time.

    None as a whole stands for a tensor of which nothing is known.
    """
    if edge.items is not None:
        return edge.items
    if not edge.is_constant or edge.tensor.dtype not in ("int32", "int64") or edge.rank > 1:
        return None
    array = edge.array()
    return [int(item) for item in array.reshape(-1)] if array.size <= _MOST else None


def follow_sizes(site: Site) -> None:
    """Note what is known of the output of an operator that computes with sizes."""
    function = _FOLLOWERS.get(site.code)
    if function is not None and site.output().tensor.dtype in ("int32", "int64"):
        items = function(site)
        if items is not None and len(items) <= _MOST:
            site.output().items = items


def _shape(site: Site) -> Items | None:
    x = site.input(0)
    return None if x.tensor.shape is None else list(x.shape)


def _same(site: Site) -> Items | None:
    return known_items(site.input(0))


def _joined(site: Site) -> Items | None:
    parts = [known_items(edge) for edge in site.inputs]
    if site.output().rank != 1 or all(part is None for part in parts):
        return None
    joined: Items = []
    for edge, part in zip(site.inputs, parts, strict=True):
        length = 1 if site.code == "PACK" else edge.shape[0]
        if length is None:
            return None
        joined += [None] * length if part is None else part
    return joined


def _sliced(site: Site) -> Items | None:
    items = known_items(site.input(0))
    begin, end, step = (site.ints(index) for index in (1, 2, 3))
    if items is None or begin is None or end is None or step is None or site.option("offset"):
        return None
    if site.option("ellipsis_mask") or site.option("new_axis_mask") or not step[0]:
        return None
    if site.option("shrink_axis_mask"):
        return [items[begin[0]]] if -len(items) <= begin[0] < len(items) else None
    start = None if site.option("begin_mask") else begin[0]
    stop = None if site.option("end_mask") else end[0]
    return items[start : stop : step[0]]


def _computed(site: Site) -> Items | None:
    left, right = (known_items(site.input(index)) for index in range(2))
    if left is None or right is None or len(left) != len(right):
        return None
    function = _ARITHMETIC[site.code]
    return [
        None if a is None or b is None else function(a, b) for a, b in zip(left, right, strict=True)
    ]


_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
}

_FOLLOWERS: Mapping[str, Callable[[Site], Items | None]] = {
    "SHAPE": _shape,
    "CAST": _same,
    "RESHAPE": _same,
    "SQUEEZE": _same,
    "PACK": _joined,
    "CONCATENATION": _joined,
    "STRIDED_SLICE": _sliced,
    **dict.fromkeys(_ARITHMETIC, _computed),
}
