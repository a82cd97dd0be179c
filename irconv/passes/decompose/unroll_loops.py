"""Loops of a known number of steps as copies of their bodies, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.passes.base import Effect, PassContext, PassResult
from irconv.passes.decompose.base import Decomposition, Rule, replace_nodes
from irconv.passes.decompose.block import Keep
from irconv.passes.decompose.bodies import add_body, read_body
from irconv.passes.decompose.site import Site
from irconv.passes.sites import Sites

__all__ = ["UnrollLoops"]

_MOST_NODES = 20_000


def _unrolled(site: Site, most: int) -> Sequence[ir.Value]:
    """ONNX Loop (since 1, as of 19) with a constant trip count and no condition of its own."""
    carried = max(len(site.node.inputs) - 2, 0)
    outputs = 1 + max(carried, len(site.node.outputs))
    body = read_body(site, "body", 2 + carried, outputs)
    trips = None if site.maybe(0) is None else constant_ints(site.input(0))
    if trips is None:
        raise Keep("its number of steps is computed, not constant")
    if len(trips) != 1:
        raise Keep(f"its number of steps {site.input(0).name!r} is not one number")
    if trips[0] > most or trips[0] * len(body) > _MOST_NODES:
        raise Keep(f"it has {trips[0]} steps, more than are unrolled")
    if not (site.maybe(1) is None or _is_true(site.maybe(1))):
        raise Keep("its condition is computed, not constant")
    if not _goes_on(body):
        raise Keep("its body computes whether it goes on")
    state = [site.input(2 + index) for index in range(carried)]
    collected: list[list[ir.Value]] = [[] for _ in body.outputs[1 + carried :]]
    if collected and trips[0] <= 0:
        raise Keep("it has no step, and puts out a tensor that is empty")
    going = site.constant(np.asarray(True))
    for step in range(trips[0]):
        number = site.constant(np.asarray(step, np.int64))
        results = add_body(site, body, [number, going, *state])
        state = results[1 : 1 + carried]
        for parts, value in zip(collected, results[1 + carried :], strict=True):
            parts.append(site.op("Unsqueeze", value, [0]))
    return [*state, *(_joined(site, parts) for parts in collected)]


def _joined(site: Site, parts: list[ir.Value]) -> ir.Value:
    return parts[0] if len(parts) == 1 else site.op("Concat", *parts, axis=0)


def _is_true(value: ir.Value | None) -> bool:
    tensor = constant_tensor(value)
    return tensor is not None and tensor.size == 1 and bool(np.all(tensor.numpy()))


def _goes_on(body: ir.Graph) -> bool:
    """Return whether the condition that the body puts out is the one it was given, or true."""
    value: ir.Value | None = body.outputs[0]
    while value is not None and value is not body.inputs[1] and not _is_true(value):
        node = value.producer()
        value = node.inputs[0] if node is not None and node.op_type == "Identity" else None
    return value is not None


@dataclass(frozen=True)
class UnrollLoops(Decomposition):
    """Replace each Loop of a small constant number of steps by copies of its body.

    Attributes:
        most: The most steps that are unrolled.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N] x) => (float[N] y)
        <int64 trips = {2}> {
            y = Loop <body = b (int64 i, bool going, float[N] a) => (bool on, float[N] c)
                { on = Identity(going)  c = Mul(a, x) }> (trips, , x)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N] x) => (float[N] y)
        <float[N] c_1> {
            c_1 = Mul(x, x)
            y = Mul(c_1, x)
        }
    """

    name: ClassVar[str] = "unroll-loops"
    effect: ClassVar[Effect] = "bit-exact"
    rules: ClassVar[Mapping[str, Rule]] = {"Loop": lambda site: _unrolled(site, 0)}

    oldest_opset: ClassVar[int] = 13

    most: int = 32

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace the nodes; linear in nodes, old and new."""
        rules: Mapping[str, Rule] = {"Loop": lambda site: _unrolled(site, self.most)}
        return replace_nodes(model, rules, Sites(context), oldest=self.oldest_opset)
