"""How many roundings stand one behind the other in front of an output."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from irconv.verify.exact import is_exact
from irconv.verify.reductions import reduction_length

__all__ = ["rounding_depths"]


def rounding_depths(model: ir.Model, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return, by output name, the most roundings on one path to that output.

    An operator rounds once, and before that, if it adds up k terms, at least log2(k) times one
    behind the other, in whatever order it adds. A node with bodies and a call of a local
    function count as one rounding, what only makes integers or booleans as none, and unknown
    dimensions as 1, so the depth may be too small. It is too large only where integers whose dtype
    the model does not state are computed with: what has no dtype counts as floating-point.

    Args:
        model: The model; it is only read.
        sizes: Sizes of named dimensions.
    """
    depths: dict[ir.Value | None, int] = {}
    for node in model.graph:
        before = max((depths.get(value, 0) for value in node.inputs), default=0)
        after = before if is_exact(node) else before + 1 + _least_sums(node, sizes)
        for value in node.outputs:
            depths[value] = after if _may_round(value) else before
    return {value.name or "": depths.get(value, 0) for value in model.graph.outputs}


def _least_sums(node: ir.Node, sizes: Mapping[str, int]) -> int:
    return (reduction_length(node, sizes) - 1).bit_length()


def _may_round(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.is_floating_point()
