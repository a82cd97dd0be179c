"""What all fusions share: a place is matched and judged, then one node takes it.

A fusion says in its :meth:`Fusion.match` which node stands for which values, in the words of
:mod:`irconv.passes.fusions.pattern`. What lies between those values and the inputs of the new
node is the region that vanishes. It is found by walking back, so a match keeps no books.

Fusions are matched by use-def chains; ``fuse-conv-batchnorm`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.scopes import Scope, scopes
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.decompose.block import Keep
from irconv.passes.edits import Edits
from irconv.passes.fusions.fused import Fused
from irconv.passes.fusions.pattern import rank, scalar
from irconv.passes.fusions.region import leak, region
from irconv.passes.fusions.replacing import drop_dead, replace_region
from irconv.passes.rewrite import Place, own_operators
from irconv.passes.sites import Sites

__all__ = ["Fusion", "Matcher"]

_OVERRIDE = "the model defines operators of the default domain itself"

Matcher = Callable[[ir.Node, Scope], Fused | None]
"""See :meth:`Fusion.match`."""


@dataclass(frozen=True)
class Fusion(Pass):
    """A pass that replaces regions of nodes by one node each.

    Class attributes:
        anchors: Standard operators at which to look for the pattern: the rarest ones in it.
    """

    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "eliminate-identity", "fold-constants")
    effect: ClassVar[Effect] = "real-arithmetic"
    anchors: ClassVar[frozenset[str]] = frozenset()

    def matcher(self, model: ir.Model) -> Matcher:
        """Return what judges the anchors of ``model``; a pass that studies the model first has one.

        Otherwise it is :meth:`match`.
        """
        del model
        return self.match

    def match(self, node: ir.Node, scope: Scope) -> Fused | None:
        """Return what takes the place around an anchor, or None where there is no such place.

        Raises:
            Keep: If the place comes near; the text is the first condition that failed.
        """
        raise NotImplementedError

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fuse every place that allows it, bodies and functions included; linear in nodes."""
        if own_operators(model):
            return PassResult(False, {"fused": 0}, (Refusal("", "", _OVERRIDE),))
        edits = Edits(model)
        match = self.matcher(model)
        refusals: list[Refusal] = []
        gone: set[ir.Node] = set()
        read: list[ir.Value] = []
        sites = Sites(context)
        for scope in scopes(model):
            place = Place(scope, edits)
            for graph in scope.graphs():
                for node in tuple(graph):
                    if node in gone or node.domain != "" or node.op_type not in self.anchors:
                        continue
                    try:
                        found = match(node, scope)
                        nodes = [] if found is None else _judged(found, scope)
                    except Keep as reason:
                        refusals.append(Refusal(node.name or "", node.op_type, str(reason)))
                        continue
                    if found is not None and sites.permit(node):
                        read += replace_region(found, nodes, place)
                        gone.update(nodes)
        edits.finish()
        for value in read:
            drop_dead(value)
        made = sites.made
        return PassResult(bool(made), {"fused": len(made)}, tuple(refusals), made)


def _judged(found: Fused, scope: Scope) -> list[ir.Node]:
    """Return the region that vanishes, or keep it."""
    opset = scope.opsets.get("", 1)
    if opset < found.opset:
        raise Keep(
            f"{found.op_type} needs opset {found.opset} and this is opset {opset}; "
            f"run convert-opset{{to={found.opset}}} first"
        )
    if found.domain and scope.opsets.get(found.domain, 1) != 1:
        raise Keep(f"the model imports another version of {found.domain} than 1")
    nodes = region(found)
    reason = leak(found, nodes) or ("" if found.sized else _broadcast(found, nodes))
    if reason:
        raise Keep(reason)
    return nodes


def _broadcast(found: Fused, nodes: Sequence[ir.Node]) -> str:
    """Return which number would give the result more axes than the first input has, if any."""
    count = rank(next(value for value in found.inputs if isinstance(value, ir.Value)))
    read = {value: None for node in nodes for value in node.inputs if value is not None}
    for value in read:
        axes = 0 if scalar(value) is None else rank(value) or 0
        if axes and (count is None or axes > count):
            return f"the number {value.name!r} is a tensor of rank {axes}, which may add axes"
    return ""
