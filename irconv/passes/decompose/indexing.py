"""Operators that place, pick or count by position, in terms of Gather, Where and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.flat_gather import gather_elements, gather_nd
from irconv.passes.decompose.masks import eye_like, hardmax, one_hot, trilu
from irconv.passes.decompose.running import cum_prod, cum_sum
from irconv.passes.decompose.selections import (
    arg_of_last,
    compress,
    reverse_sequence,
    scatter_elements,
    tensor_scatter,
)

__all__ = ["DecomposeIndexing"]


@dataclass(frozen=True)
class DecomposeIndexing(Decomposition):
    """Replace indexing operators by Gather, ScatterND, Where and comparisons of positions.

    ArgMax and ArgMin are replaced where they select the last index, and are then taken of the
    reversed input. GatherElements, GatherND and ScatterElements are common, so they are replaced
    only where ``ops`` names them.

    Attributes:
        ops: Operator types to replace; those of the family but the three, if none is given.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x) => (float[2, 3] y) {
            y = Hardmax(x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[2, 3] x) => (float[2, 3] y)
        <int64[2, 1] y_ArgMax, int64[3] y_Constant, int64[1] y_Constant_1,
         int64[1, 3] y_Unsqueeze, bool[2, 3] y_Equal> {
            y_ArgMax = ArgMax <axis = 1, keepdims = 1> (x)
            y_Constant = Constant <value = int64[3] {0, 1, 2}> ()
            y_Constant_1 = Constant <value = int64[1] {0}> ()
            y_Unsqueeze = Unsqueeze(y_Constant, y_Constant_1)
            y_Equal = Equal(y_Unsqueeze, y_ArgMax)
            y = Cast <to = 1> (y_Equal)
        }
    """

    name: ClassVar[str] = "decompose-indexing"
    rules: ClassVar[Mapping[str, Rule]] = {
        "ArgMax": arg_of_last,
        "ArgMin": arg_of_last,
        "Compress": compress,
        "CumProd": cum_prod,
        "CumSum": cum_sum,
        "EyeLike": eye_like,
        "GatherElements": gather_elements,
        "GatherND": gather_nd,
        "Hardmax": hardmax,
        "OneHot": one_hot,
        "ReverseSequence": reverse_sequence,
        "ScatterElements": scatter_elements,
        "TensorScatter": tensor_scatter,
        "Trilu": trilu,
    }
    default_ops: ClassVar[tuple[str, ...]] = tuple(
        op for op in rules if op not in ("GatherElements", "GatherND", "ScatterElements")
    )
