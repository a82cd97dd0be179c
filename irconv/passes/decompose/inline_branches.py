"""Branches whose condition is constant, as the nodes of the branch that is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.base import Effect
from irconv.passes.decompose.base import Decomposition, Rule
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.bodies import add_body, read_body
from irconv.passes.decompose.site import Site

__all__ = ["InlineBranches"]


def _taken(site: Site) -> Sequence[ir.Value]:
    """ONNX If (since 1, as of 25) with a constant condition."""
    condition = constant_tensor(site.input(0))
    if condition is None:
        raise Keep("its condition is computed, not constant")
    if condition.dtype != ir.DataType.BOOL or condition.size != 1:
        raise Keep(f"its condition {site.input(0).name!r} is not one bool")
    taken = "then_branch" if bool(condition.numpy().all()) else "else_branch"
    return add_body(site, read_body(site, taken, 0, len(site.node.outputs)), [])


@dataclass(frozen=True)
class InlineBranches(Decomposition):
    """Replace each If whose condition is constant by the branch that is taken.

    Exporters write a branch for a size that may be one; when the size is bound, the condition
    folds to a constant.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N] x) => (float[N] y)
        <bool yes = {1}> {
            y = If (yes) <
                then_branch = t () => (float[N] a) { n = Neg(x)  a = Exp(n) },
                else_branch = e () => (float[N] b) { b = Abs(x) }
            >
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N] x) => (float[N] y) {
            n_1 = Neg(x)
            y = Exp(n_1)
        }
    """

    name: ClassVar[str] = "inline-branches"
    effect: ClassVar[Effect] = "bit-exact"
    rules: ClassVar[Mapping[str, Rule]] = {"If": _taken}
    oldest_opset: ClassVar[int] = 7
