"""Drafts with graphs inside: branches, loops, scans and calls of local functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from assembly import Assembly, Draft, Skip
from grafts import GRAFTS, graft
from onnx import helper
from operators import RECIPES

__all__ = ["BODIES", "grow"]

_DEEPEST = 2
_OPERATORS = tuple(RECIPES)


def grow(assembly: Assembly, draft: Draft, most: int) -> None:
    """Add a few random steps to the assembly of a body."""
    for _ in range(int(draft.rng.integers(1, most + 1))):
        seed = int(draft.rng.integers(1 << 30))
        kind = int(draft.rng.integers(10))
        if kind == 0 and assembly.depth < _DEEPEST:
            make: Callable[[Draft], None] = BODIES[draft.choose(tuple(BODIES))]
        elif kind <= 2:
            name = draft.choose(GRAFTS)
            make = lambda inner, name=name: graft(name, inner)  # noqa: E731
        else:
            make = RECIPES[draft.choose(_OPERATORS)]
        assembly.attempt(make, seed)


def _made(assembly: Assembly, kinds: str = "f") -> list[str]:
    """Return the names of values that the nodes of an assembly make."""
    made = {name for node in assembly.nodes for name in node.output}
    return [n for n in assembly.own if n in made and assembly.known[n].dtype.kind in kinds]


def _like(draft: Draft, assembly: Assembly, array: np.ndarray) -> str:
    """Return a value that the assembly makes with the dtype and shape of an array."""
    fit = [
        name
        for name in _made(assembly)
        if assembly.known[name].dtype == array.dtype and assembly.known[name].shape == array.shape
    ]
    if not fit or draft.chance(0.3):
        inner = Draft(assembly, draft.rng)
        value = inner.operand(array.dtype, array.shape)
        name = inner.node(draft.choose(("Tanh", "Neg", "Identity", "Abs")), [value])
        assembly.nodes += inner.nodes
        assembly.initializers.update(inner.initializers)
        assembly.known[name] = array
        return name
    return str(draft.choose(fit))


def _flag(draft: Draft) -> str:
    """Return a scalar truth value: constant, given, or computed."""
    kind = int(draft.rng.integers(3))
    if kind == 0:
        return draft.constant(draft.chance(0.5), np.bool_)
    if kind == 1:
        return draft.source(np.bool_, ())
    whole = draft.node(
        "ReduceMax", [draft.pick(accept=lambda a: a.dtype == np.float32)], keepdims=0
    )
    return draft.node("Greater", [whole, draft.constant(0.3, np.float32)])


def _branch(draft: Draft) -> None:
    like = draft.array(draft.pick())
    condition = _flag(draft)
    bodies = []
    for label in ("then_branch", "else_branch"):
        child = draft.assembly.child([], closed=False)
        grow(child, draft, 3)
        bodies.append(draft.body(label, child, [], [_like(draft, child, like)]))
    draft.node("If", [condition], then_branch=bodies[0], else_branch=bodies[1])


def _loop(draft: Draft) -> None:
    state = draft.pick()
    step, going, inner = (draft.assembly.fresh() for _ in range(3))
    child = draft.assembly.child(
        [(step, np.array(0)), (going, np.array(True)), (inner, draft.array(state))], closed=False
    )
    grow(child, draft, 3)
    changed = Draft(child, draft.rng)
    other = changed.operand(draft.array(state).dtype, draft.shape(state))
    following = changed.node(draft.choose(("Add", "Max", "Sub")), [inner, other])
    following = changed.node("Tanh", [following])
    on = changed.node("Identity", [going])
    child.nodes += changed.nodes
    child.initializers.update(changed.initializers)
    child.known.update({following: draft.array(state), on: np.array(True)})
    trips = draft.constant(draft.choose((0, 1, 1, 2, 3)), np.int64)
    if draft.chance(0.2):
        trips = draft.source(np.int64, ())
    # of what no iteration collects, the runtime alone knows the shape
    collected = _made(child)[:1] if draft.array(trips) > 0 and draft.chance(0.6) else []
    body = draft.body("body", child, [step, going, inner], [on, following, *collected])
    condition = draft.choose(("", draft.constant(True, np.bool_)))
    draft.node("Loop", [trips, condition, state], 1 + len(collected), body=body)


def _scan(draft: Draft) -> None:
    rows = draft.ranked(1)
    if not draft.shape(rows)[0]:
        raise Skip
    inner = draft.assembly.fresh()
    child = draft.assembly.child([(inner, draft.array(rows)[0])], closed=False)
    grow(child, draft, 2)
    changed = Draft(child, draft.rng)
    made = changed.node(draft.choose(("Neg", "Tanh", "Relu")), [inner])
    child.nodes += changed.nodes
    child.known[made] = draft.array(rows)[0]
    outputs = [made, *_made(child)[:1]]
    body = draft.body("body", child, [inner], outputs)
    draft.node("Scan", [rows], len(outputs), body=body, num_scan_inputs=1)


def _call(draft: Draft) -> None:
    operands = [draft.pick("fi") for _ in range(int(draft.rng.integers(1, 3)))]
    given = [(draft.assembly.fresh("a"), draft.array(value)) for value in operands]
    child = draft.assembly.child(given, closed=True)
    grow(child, draft, 4)
    made = _made(child, "fi")
    if not made:
        raise Skip
    outputs = list(dict.fromkeys([made[-1], str(draft.choose(made))]))
    name = draft.assembly.fresh("function")
    attributes = []
    if child.known[outputs[0]].dtype.kind == "f" and draft.chance(0.3):
        softened = draft.assembly.fresh()
        node = helper.make_node("LeakyRelu", [outputs[0]], [softened])
        attribute = node.attribute.add()
        attribute.name, attribute.ref_attr_name, attribute.type = "alpha", "slope", 1
        child.nodes.append(node)
        outputs[0] = softened
        attributes = ["slope"]
    draft.functions += child.functions
    domains = {n.domain for n in child.nodes if n.domain} | {f.domain for f in child.functions}
    imports = [helper.make_opsetid("", draft.opset)]
    imports += [helper.make_opsetid(domain, 1) for domain in sorted(domains)]
    draft.functions.append(
        helper.make_function(
            "local", name, [inner for inner, _ in given], outputs, child.nodes, imports,
            attributes=attributes,
        )
    )  # fmt: skip
    for _ in range(1 + int(draft.chance(0.3))):
        draft.node(
            name, operands, len(outputs), domain="local",
            **({"slope": 0.25} if attributes else {}),
        )  # fmt: skip


BODIES: Mapping[str, Callable[[Draft], None]] = {
    "If": _branch, "Loop": _loop, "Scan": _scan, "function": _call,
}  # fmt: skip
"""By operator type; ``function`` calls a local function of its own."""
