"""Cancelling transposes across regions: a transpose is only another view of a tensor.

For permutations p and q with p ∘ q = id, and a node f that works in any order of dimensions
(elementwise, concatenation, reductions, …, with its axes renamed), the ONNX definition gives::

    f(Transpose_p(x)) = Transpose_p(f'(x))        Transpose_q(Transpose_p(x)) = x

So every region of such nodes may hold its tensors in the order on either side of the transposes
at its border. Each region takes the order that leaves fewer transposes, by a local search over
its parts, and is rewritten only where it has fewer in the end. A region is one site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from irconv.graph.walk import nested_graphs
from irconv.passes.base import Effect, Pass, PassContext, PassResult
from irconv.passes.sites import Sites

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.passes.layout.permutation import Permutation

__all__ = ["CancelTransposes"]

_OLDEST = 13
_AXES_ARE_INPUTS = 18
_SWEEPS = 4


@dataclass(frozen=True)
class CancelTransposes(Pass):
    """Sink, merge and cancel transposes, through whole regions of nodes and into bodies.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float[2] bias = {1.0, 2.0}, float[1, 4, 4, 2] last, float[1, 4, 4, 2] biased,
         float[1, 4, 4, 2] active>
        {
            last = Transpose<perm = [0, 2, 3, 1]>(x)
            biased = Add(last, bias)
            active = Relu(biased)
            y = Transpose<perm = [0, 3, 1, 2]>(active)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float[2, 1, 1] bias_permuted = {1.0, 2.0}, float[1, 2, 4, 4] biased_permuted>
        {
            biased_permuted = Add(x, bias_permuted)
            y = Relu(biased_permuted)
        }

    Models of opsets before 13 stay as they are: their axes stand elsewhere.
    """

    name: ClassVar[str] = "cancel-transposes"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants")
    effect: ClassVar[Effect] = "real-arithmetic"

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Rewrite the model as long as that leaves fewer transposes; linear in nodes."""
        from irconv.passes.layout.candidates import grow
        from irconv.passes.layout.choice import choose
        from irconv.passes.layout.regions import regions
        from irconv.passes.layout.rewrite import Rewriter
        from irconv.passes.layout.rules import RULES, RULES_BEFORE_18

        opset = model.graph.opset_imports.get("", 0)
        rules = RULES if opset >= _AXES_ARE_INPUTS else RULES_BEFORE_18
        if opset < _OLDEST:
            return PassResult(False, {"needs-opset": _OLDEST})
        sites, cancelled = Sites(context), 0
        for _ in range(_SWEEPS):
            graphs = [model.graph, *nested_graphs(model.graph)]
            seeds = list(_seeds(graphs))
            forms = choose(grow({}, seeds, rules), {}, graphs) if seeds else {}
            taken = [
                region
                for region in (regions(forms, graphs) if seeds else [])
                if region.saved > 0 and sites.permit(region.transposes[0])
            ]
            if not taken:
                break
            views = {node for region in taken for node in region.transposes}
            changed = {node: form for region in taken for node, form in region.forms.items()}
            Rewriter(model, changed, "permuted", views).run()
            cancelled += sum(region.saved for region in taken)
        return PassResult(cancelled > 0, {"cancelled": cancelled}, sites=sites.made)


def _seeds(graphs: Iterable[ir.Graph]) -> Iterator[tuple[ir.Value, Permutation]]:
    """Yield for each transpose its operand and its result, each in the order of the other."""
    from irconv.passes.layout.aliases import transpose_order
    from irconv.passes.layout.permutation import inverse

    for graph in graphs:
        for node in graph:
            order, source = transpose_order(node), node.inputs[0] if node.inputs else None
            if order is not None and source is not None and source.shape is not None:
                yield source, order
                yield node.outputs[0], inverse(order)
