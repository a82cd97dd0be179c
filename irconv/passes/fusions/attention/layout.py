"""Following axes through nodes that only move elements: Transpose, Reshape, Squeeze, Unsqueeze.

What such nodes make of a tensor x is told by the axes of x: each dim of the result is a list of
axes of x, merged in that order (row-major, ONNX operator specification, Reshape). A Reshape takes
the lists apart and puts them together anew, so that the sizes agree; axes of size 1 are left out,
since they may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.graph.symbolic.dims import Dims
from irconv.graph.symbolic.expression import Dim
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.fusions.pattern import made_by, operand

__all__ = ["IN_ORDER", "Arrangement", "arrangements", "permutation"]

IN_ORDER = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that keep the elements in their order."""
_MOVING = (*IN_ORDER, "Transpose")
_MAX_NODES = 8

Groups = tuple[tuple[int, ...], ...]
Arrangement = tuple[ir.Value, Dims, Groups]
"""A tensor, its dims, and the dims of another as lists of its axes."""


def permutation(node: ir.Node, count: int) -> tuple[int, ...] | None:
    """Return the order of a Transpose, or None where it is a parameter of a function."""
    attribute = node.attributes.get("perm")
    if attribute is None:
        return tuple(reversed(range(count)))
    return None if attribute.is_ref() else tuple(attribute.as_ints())


def arrangements(value: ir.Value, sizes: Sizes) -> list[Arrangement]:
    """Return the tensors that ``value`` is another arrangement of, the farthest first."""
    chain: list[ir.Node] = []
    found: list[Arrangement] = []
    while len(chain) < _MAX_NODES and (node := made_by(value, *_MOVING)) is not None:
        source = operand(node, 0)
        dims = sizes.dims(source)
        if source is None or dims is None:
            break
        chain.insert(0, node)
        groups = _followed(dims, chain, sizes)
        if groups is not None:
            found.insert(0, (source, dims, groups))
        value = source
    return found


def _followed(dims: Dims, chain: Sequence[ir.Node], sizes: Sizes) -> Groups | None:
    groups: Groups | None = tuple((axis,) for axis in range(len(dims)))
    for node in chain:
        result = sizes.dims(node.outputs[0])
        if groups is None or result is None:
            return None
        if node.op_type == "Transpose":
            order = permutation(node, len(groups))
            groups = None if order is None else tuple(groups[axis] for axis in order)
        elif node.op_type != "Identity":
            groups = _regrouped([axis for group in groups for axis in group], dims, result)
    return groups


def _regrouped(axes: Sequence[int], dims: Dims, result: Dims) -> Groups | None:
    """Put axes together anew, so that the products of their sizes are the dims of the result."""
    rest = [axis for axis in axes if dims[axis] != 1]
    groups: list[tuple[int, ...]] = []
    for dim in result:
        group: list[int] = []
        product: Dim = 1
        while rest and product != dim:
            axis = rest.pop(0)
            group.append(axis)
            product = product * dims[axis]
        if product != dim:
            return None
        groups.append(tuple(group))
    return None if rest else tuple(groups)
