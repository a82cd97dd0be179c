"""Dense layers on more than two dimensions, as the matrix products that they are.

``tf.tensordot(x, w, 1)`` with an ``x`` of free dimensions computes the product of its leading
dimensions, reshapes ``x`` to a matrix, multiplies, and computes the shape to go back to: 20 nodes
of which ``matmul(x, w)``, which broadcasts, is the whole meaning. Keras writes every ``Dense``
layer so.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

__all__ = ["simplify_tensordots"]


@dataclass(frozen=True)
class _Nodes:
    """The nodes of a graph by name."""

    by_name: Mapping[str, Any]

    def giver(self, node: Any, index: int, *operators: str) -> Any | None:
        """Return the node that gives the only output ``index`` reads, if it is one of these."""
        if node is None or index >= len(node.input) or ":" in node.input[index]:
            return None
        found = self.by_name.get(node.input[index])
        return found if found is not None and found.op in operators else None

    def ints(self, node: Any, index: int) -> list[int] | None:
        """Return a constant input as a flat list."""
        constant = self.giver(node, index, "Const")
        if constant is None:
            return None
        array = tf.make_ndarray(constant.attr["value"].tensor)
        return [int(item) for item in array.reshape(-1)]


def simplify_tensordots(graph_def: Any) -> int:
    """Replace such products in place and return how many there were.

    The nodes that compute shapes are left to whoever removes what nothing reads.
    """
    nodes = _Nodes({node.name: node for node in graph_def.node})
    found = [(node, _factors(nodes, node)) for node in graph_def.node if node.op == "Reshape"]
    count = 0
    for node, factors in found:
        if factors is None:
            continue
        dtype = node.attr["T"].type
        node.op = "BatchMatMulV2"
        node.attr.clear()
        node.attr["T"].type = dtype
        node.attr["adj_x"].b = node.attr["adj_y"].b = False
        node.input[:] = factors
        count += 1
    return count


def _factors(nodes: _Nodes, node: Any) -> tuple[str, str] | None:
    """Return the tensors that ``node``, the last reshape of a tensordot, is the product of."""
    product = nodes.giver(node, 0, "MatMul")
    matrix = nodes.giver(product, 0, "Reshape")
    kept = nodes.giver(node, 1, "ConcatV2")
    if product is None or matrix is None or kept is None or len(kept.input) != 3:
        return None
    if product.attr["transpose_a"].b or product.attr["transpose_b"].b:
        return None
    turned = nodes.giver(matrix, 0, "Transpose")
    if turned is not None and not _is_unchanged(nodes, turned):
        return None
    source = (matrix if turned is None else turned).input[0]
    rank = _leading(nodes, nodes.giver(kept, 0, "GatherV2"), source)
    width = nodes.ints(kept, 1)
    sizes = nodes.giver(matrix, 1, "Pack")
    rows = nodes.giver(nodes.giver(sizes, 0, "Prod"), 0, "GatherV2")
    columns = nodes.giver(nodes.giver(sizes, 1, "Prod"), 0, "GatherV2")
    if (
        rank is None
        or nodes.ints(kept, 2) != [0]
        or width is None
        or len(width) != 1
        or _leading(nodes, rows, source) != rank
        or _gathered(nodes, columns, source) != [rank]
    ):
        return None
    return source, product.input[1]


def _is_unchanged(nodes: _Nodes, transpose: Any) -> bool:
    perm = nodes.ints(transpose, 1)
    if perm is None:
        parts = nodes.giver(transpose, 1, "ConcatV2")
        if parts is None:
            return False
        given = [nodes.ints(parts, index) for index in range(len(parts.input) - 1)]
        if any(part is None for part in given):
            return False
        perm = [axis for part in given for axis in part or ()]
    return perm == sorted(perm)


def _gathered(nodes: _Nodes, gather: Any, source: str) -> list[int] | None:
    """Return which dimensions of ``source`` a node gathers."""
    shape = nodes.giver(gather, 0, "Shape")
    if shape is None or shape.input[0] != source or nodes.ints(gather, 2) != [0]:
        return None
    return nodes.ints(gather, 1)


def _leading(nodes: _Nodes, gather: Any, source: str) -> int | None:
    """Return how many leading dimensions of ``source`` a node gathers, all of them in order."""
    axes = _gathered(nodes, gather, source)
    return len(axes) if axes and axes == list(range(len(axes))) else None
