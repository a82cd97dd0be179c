"""What all decompositions share: rules by operator, and a pass that applies them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.graph.scopes import scopes
from irconv.graph.walk import subgraphs_of
from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.site import Site
from irconv.passes.sites import Sites

__all__ = ["Decomposition", "Rule", "replace_nodes"]

Rule = Callable[[Site], ir.Value | Sequence[ir.Value | None]]
"""Makes what stands for the outputs of a node, in order; raises Keep to leave the node."""
_OLDEST_OPSET = 18


def replace_nodes(
    model: ir.Model,
    rules: Mapping[str, Rule],
    sites: Sites,
    wanted: Callable[[ir.Node], bool] = lambda node: True,
    oldest: int = _OLDEST_OPSET,
) -> PassResult:
    """Replace each wanted node that a rule is known for, in bodies and functions too.

    Args:
        model: The model, changed in place.
        rules: Rule by operator type of the default domain.
        sites: The account of this run.
        wanted: Whether to replace a node, such as "the target lacks it".
        oldest: The oldest opset that has what the rules make.

    Returns:
        What was replaced by operator type, a refusal for each wanted node that stayed, and all
        sites of the account.
    """
    names = NameAllocator(model)
    replaced: Counter[str] = Counter()
    refusals: list[Refusal] = []
    for scope in scopes(model):
        version = scope.opsets.get("", 1)
        for node in _inner_first(scope.graph, rules):
            rule = rules[node.op_type]
            if node.domain != "" or node.graph is None or not wanted(node):
                continue
            site = Site(node, names, version)
            try:
                results = _results(rule, site, oldest)
            except Keep as reason:
                refusals.append(Refusal(node.name or "", node.op_type, str(reason)))
                site.discard()
                continue
            if sites.permit(node):
                replaced[node.op_type] += 1
                site.replace(results)
            else:
                site.discard()
    details = {"replaced": dict(sorted(replaced.items()))}
    return PassResult(bool(replaced), details, tuple(refusals), sites.made)


def _inner_first(graph: ir.Graph, op_types: Container[str]) -> Iterator[ir.Node]:
    """Yield the nodes of some operators in order, one with bodies behind those inside them."""
    for node in tuple(graph):
        for body in subgraphs_of(node):
            yield from _inner_first(body, op_types)
        if node.op_type in op_types:
            yield node


def _results(rule: Rule, site: Site, oldest: int) -> list[ir.Value | None]:
    if site.version < oldest:
        raise Keep(f"the model is at opset {site.version}; convert it to {oldest} or newer")
    results = rule(site)
    return [results] if isinstance(results, ir.Value) else list(results)


@dataclass(frozen=True)
class Decomposition(Pass):
    """A pass that replaces the operators of one family.

    Class attributes:
        rules: Rule by operator type.
        default_ops: What is replaced where ``ops`` is empty; all of the family if empty too.
        oldest_opset: The oldest opset that has what the rules make.

    Attributes:
        ops: Operator types to replace.
    """

    after: ClassVar[tuple[str, ...]] = ("convert-opset", "infer-shapes")
    effect: ClassVar[Effect] = "real-arithmetic"
    rules: ClassVar[Mapping[str, Rule]] = {}
    default_ops: ClassVar[tuple[str, ...]] = ()
    oldest_opset: ClassVar[int] = _OLDEST_OPSET

    ops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the operators.

        Raises:
            ValueError: If one is not of this family.
        """
        unknown = sorted(set(self.ops) - set(self.rules))
        if unknown:
            known = ", ".join(sorted(self.rules))
            raise ValueError(f"no operator of this family: {', '.join(unknown)} (known: {known})")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace the nodes; linear in nodes, old and new."""
        ops = frozenset(self.ops or self.default_ops or self.rules)
        return replace_nodes(
            model, self.rules, Sites(context), lambda node: node.op_type in ops, self.oldest_opset
        )
