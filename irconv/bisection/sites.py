"""Which of a pass's rewrites broke an output, and which tensor moved first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from irconv.bisection.result import FoundSite, FoundTensor
from irconv.bisection.search import first_bad
from irconv.bisection.steps import Step
from irconv.errors import IrconvError
from irconv.graph.difference import Group, graph_difference
from irconv.graph.digest import tensor_digest
from irconv.graph.invariants import InvariantError, check_invariants
from irconv.graph.scopes import nested_nodes
from irconv.graph.snapshot import snapshot
from irconv.graph.walk import all_graphs
from irconv.passes.base import PassContext, PassResult
from irconv.runtime.base import Feeds
from irconv.verify.movement import Movement, OpenReference, first_movement

__all__ = ["find_rewrite", "first_moved"]

IsBad = Callable[[ir.Model], "bool | None"]


def find_rewrite(
    step: Step,
    context: PassContext,
    is_bad: IsBad,
    samples: Sequence[Feeds],
    open_reference: OpenReference,
) -> tuple[FoundSite | None, FoundTensor | None]:
    """Find the rewrite and the first tensor behind a pass that broke an output.

    A pass that counts its sites is run again and again on the model before it, each time
    allowed so many sites, until the first that breaks the output is found. For any other pass
    the tensors tell: the site is the change of the graph that the first one that moved depends
    on.

    Args:
        step: The run of the pass.
        context: The context that it had.
        is_bad: Says whether the output is broken in a model; None if it cannot be told.
        samples: What models are run on.
        open_reference: Opens a model in the reference runtime, without its optimizations.
    """
    counted = _first_bad_count(step, context, is_bad)
    if counted is None:
        movement = _movement(step.before, step.after, samples, open_reference)
        site = _site_of(movement, step) if movement is not None else None
        return site, None if movement is None else _found_tensor(movement)
    before, after, result = counted
    last = result.sites[-1]
    group = _group_at(last.node, graph_difference(before, after))
    found = FoundSite(
        last.node,
        last.op,
        len(result.sites),
        len(step.record.sites),
        () if group is None else _named(group.after),
        "count",
    )
    return found, first_moved(before, after, samples, open_reference)


def _first_bad_count(
    step: Step, context: PassContext, is_bad: IsBad
) -> tuple[ir.Model, ir.Model, PassResult] | None:
    """Return the models with one rewrite less and with the bad one, and the run that made it."""
    count = len(step.record.sites)
    if not count or _limited(step, context, 0)[1].modified:
        return None

    def is_bad_with(number: int) -> bool | None:
        try:
            return is_bad(_limited(step, context, number)[0])
        except (IrconvError, InvariantError):
            return None

    good, bad = first_bad(0, count, is_bad_with)
    if bad - good > 1:
        return None
    after, result = _limited(step, context, bad)
    if len(result.sites) != bad:
        return None
    before = _limited(step, context, bad - 1)[0]
    _share_constants(before, after)
    return before, after, result


def _share_constants(before: ir.Model, after: ir.Model) -> None:
    """Give ``after`` the tensors of ``before`` where both runs made equal ones of a name."""
    for was, now in zip(all_graphs(before), all_graphs(after), strict=False):
        for name, value in now.initializers.items():
            old = was.initializers.get(name)
            if old is None or old.const_value is None or value.const_value is None:
                continue
            if _equal(old.const_value, value.const_value):
                value.const_value = old.const_value


def _equal(first: ir.TensorProtocol, second: ir.TensorProtocol) -> bool:
    if first is second:
        return True
    if first.dtype != second.dtype or tuple(first.shape) != tuple(second.shape):
        return False
    return tensor_digest(first) == tensor_digest(second)


def _limited(step: Step, context: PassContext, sites: int) -> tuple[ir.Model, PassResult]:
    """Run the pass again on the model before it, at no more than so many sites."""
    model = snapshot(step.before)
    result = step.pass_.run(model, dataclasses.replace(context, max_sites=sites))
    check_invariants(model)
    return model, result


def _movement(
    before: ir.Model,
    after: ir.Model,
    samples: Sequence[Feeds],
    open_reference: OpenReference,
) -> Movement | None:
    try:
        return first_movement(before, after, samples, open_reference, exact=False)
    except IrconvError:
        return None


def first_moved(
    before: ir.Model,
    after: ir.Model,
    samples: Sequence[Feeds],
    open_reference: OpenReference,
) -> FoundTensor | None:
    """Return the first tensor that is off between two states; None if that cannot be told."""
    movement = _movement(before, after, samples, open_reference)
    return None if movement is None else _found_tensor(movement)


def _found_tensor(movement: Movement) -> FoundTensor:
    metrics = movement.metrics
    distance = None if metrics.nonfinite_mismatches else metrics.max_abs
    return FoundTensor(movement.name, movement.node, movement.op, distance, movement.limit)


def _site_of(movement: Movement, step: Step) -> FoundSite | None:
    """Return the change of the graph that a tensor depends on most closely."""
    groups = graph_difference(step.before, step.after)
    touched = {node: group for group in groups for node in group.after}
    removed = {
        value.name: group for group in groups for node in group.before for value in node.outputs
    }
    node = next((n for n in step.after.graph if n.name == movement.node), None)
    group = None if node is None else _upstream(node, touched)
    group = group or removed.get(movement.name)
    if group is None:
        return None
    nodes = group.before or group.after
    last = nodes[-1]
    return FoundSite(
        last.name or "", last.op_type, 0, len(groups), _named(group.after), "difference"
    )


def _upstream(start: ir.Node, touched: Mapping[ir.Node, Group]) -> Group | None:
    seen: set[ir.Node] = set()
    front = [start]
    while front:
        following: list[ir.Node] = []
        for node in front:
            if node in seen:
                continue
            seen.add(node)
            inner = (node, *nested_nodes(node))
            for item in inner:
                if item in touched:
                    return touched[item]
            values = (value for item in inner for value in item.inputs if value is not None)
            following += [made for value in values if (made := value.producer()) is not None]
        front = following
    return None


def _group_at(node: str, groups: Sequence[Group]) -> Group | None:
    return next(
        (group for group in groups if any(item.name == node for item in group.before)), None
    )


def _named(nodes: Sequence[ir.Node]) -> tuple[tuple[str, str], ...]:
    return tuple((node.name or "", node.op_type) for node in nodes)
