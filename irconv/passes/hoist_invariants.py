"""Hoisting of invariants: what every step, or every branch, computes anew is computed before.

Code motion as in Aho, Lam, Sethi, Ullman, *Compilers*, sections 9.5 and 9.8: a node of a loop's
body whose operands are computed outside has one value for all steps. It moves in front of the
loop where the loop surely takes a step, or else where the node can neither fail nor cost much. A
node that both branches of an If compute is computed on every path, so it moves whatever it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_ir as ir

from irconv.graph.attribute_keys import attributes_key
from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.determinism import is_random
from irconv.graph.digest import TensorKey
from irconv.graph.edit import Editor
from irconv.graph.loop_steps import takes_a_step
from irconv.graph.names import NameAllocator, ambiguous_names
from irconv.graph.renamed_tensor import renamed_tensor
from irconv.graph.scopes import ONNX_DOMAINS, Scope, scopes
from irconv.graph.totality import failure
from irconv.graph.unread import drop_unread
from irconv.graph.walk import all_nodes, nested_graphs, subgraphs_of
from irconv.passes.base import Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites

if TYPE_CHECKING:
    from irconv.graph.symbolic.sizes import Sizes

__all__ = ["HoistInvariants"]

_LOOPS = frozenset({"Loop", "Scan"})


@dataclass(frozen=True)
class HoistInvariants(Pass):
    """Move what no step of a Loop or Scan changes before it, and what both branches compute.

    Random operators, custom ones, calls of local functions and nodes with bodies stay.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x, float[4, 4] w, int64 trips) => (float[4] y)
        <bool yes = {1}> {
            y = Loop (trips, yes, x) <
                body = step (int64 i, bool going, float[4] a) => (bool on, float[4] b) {
                    on = Identity(going)
                    t = Transpose <perm = [1, 0]> (w)
                    b = MatMul(a, t)
                }
            >
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[4] x, float[4, 4] w, int64 trips) => (float[4] y)
        <bool yes = {1}> {
            t = Transpose <perm = [1, 0]> (w)
            y = Loop (trips, yes, x) <
                body = step (int64 i, bool going, float[4] a) => (bool on, float[4] b) {
                    on = Identity(going)
                    b = MatMul(a, t)
                }
            >
        }
    """

    name: ClassVar[str] = "hoist-invariants"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "eliminate-identity")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Hoist from the inside out; linear in nodes times the depth of bodies."""
        from irconv.graph.symbolic.sizes import Sizes

        sites = Sites(context)
        if not any(True for scope in scopes(model) for _ in nested_graphs(scope.graph)):
            return PassResult(False, {"hoisted": 0})
        hoister = _Hoister(model, sites, Sizes(model))
        for scope in scopes(model):
            hoister.hoist_all(scope)
        hoisted = len(sites.made)
        return PassResult(hoisted > 0, {"hoisted": hoisted}, tuple(hoister.refusals), sites.made)


class _Hoister:
    def __init__(self, model: ir.Model, sites: Sites, sizes: Sizes) -> None:
        self._editor = Editor(model)
        self.refusals: list[Refusal] = []
        self._functions = model.functions
        self._sites = sites
        self._sizes = sizes
        self._names = NameAllocator(model)
        self._ambiguous = frozenset[str]()
        self._node_names = Counter(node.name for node in all_nodes(model))

    def hoist_all(self, scope: Scope) -> None:
        """Hoist out of every body of a scope."""
        self._ambiguous = ambiguous_names(scope.graph)
        self._hoist(scope.graph, scope)

    def _hoist(self, graph: ir.Graph, scope: Scope) -> None:
        """Hoist out of the bodies in ``graph``, of those inside them first."""
        for node in tuple(graph):
            for body in subgraphs_of(node):
                self._hoist(body, scope)
            if node.domain != "":
                continue
            if node.op_type in _LOOPS:
                for body in subgraphs_of(node):
                    self._out_of_loop(node, body, scope)
            elif node.op_type == "If":
                branches = list(subgraphs_of(node))
                if len(branches) == 2:
                    self._out_of_branches(node, branches[0], branches[1], scope)

    def _out_of_loop(self, loop: ir.Node, body: ir.Graph, scope: Scope) -> None:
        surely = takes_a_step(loop, scope.opsets.get("", 1))
        for node in tuple(body):
            if not self._is_invariant(node, body, scope):
                continue
            reason = self._obstacle(node, loop, body, scope)
            if not reason and not surely:
                reason = failure(node, self._sizes)
                reason = reason and f"the loop may take no step, and {reason}"
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif self._sites.permit(node):
                self._move(node, loop, body)

    def _out_of_branches(
        self, choice: ir.Node, first: ir.Graph, second: ir.Graph, scope: Scope
    ) -> None:
        twins = defaultdict[Hashable, deque[ir.Node]](deque)
        for node in second:
            if self._is_invariant(node, second, scope):
                twins[_key(node, second)].append(node)
        for node in tuple(first):
            if not self._is_invariant(node, first, scope):
                continue
            alike = twins[_key(node, first)]
            if not alike:
                continue
            twin = alike.popleft()
            reason = self._obstacle(node, choice, first, scope) or _output_obstacle(twin)
            if reason:
                self.refusals.append(Refusal(node.name or "", node.op_type, reason))
            elif self._sites.permit(node):
                self._move(node, choice, first)
                for reader in dict.fromkeys(self._merge(twin, node)):
                    if reader.graph is second and self._is_invariant(reader, second, scope):
                        twins[_key(reader, second)].append(reader)

    def _is_invariant(self, node: ir.Node, body: ir.Graph, scope: Scope) -> bool:
        """Return whether a node reads something, and nothing that the body computes."""
        return (
            any(value is not None for value in node.inputs)
            and all(
                value is None or value.graph is not body or is_constant(value)
                for value in node.inputs
            )
            and node.domain in ONNX_DOMAINS
            and node.op_identifier() not in self._functions
            and not node.device_configurations
            and not is_random(node, scope.opsets)
            and not any(True for _ in subgraphs_of(node))
        )

    def _obstacle(self, node: ir.Node, holder: ir.Node, body: ir.Graph, scope: Scope) -> str:
        """Return why ``node`` cannot stand in front of ``holder``; empty if it can."""
        for value in node.inputs:
            if value is None:
                continue
            if value.graph is not body:
                if value.name in self._ambiguous and value.graph is not holder.graph:
                    return f"another graph has a value of the same name as {value.name!r}"
            elif value.is_graph_output():
                return f"{value.name!r} is an output of the body, which must hold it"
            elif scope.is_function and value.producer() is None:
                return f"{value.name!r} is an initializer, which a local function cannot hold"
        return _output_obstacle(node)

    def _move(self, node: ir.Node, holder: ir.Node, body: ir.Graph) -> None:
        """Put a node, after constants of the body that it reads, in front of ``holder``."""
        for value in dict.fromkeys(node.inputs):
            if value is not None and value.graph is body:
                self._move_constant(value, holder)
        self._move_node(node, holder)

    def _move_node(self, node: ir.Node, holder: ir.Node) -> None:
        assert node.graph is not None
        assert holder.graph is not None
        node.graph.remove(node)
        for value in node.outputs:
            if value.name in self._ambiguous and value.name:
                value.name = self._names.fresh(value.name)
        if node.name and self._node_names[node.name] > 1:
            node.name = self._names.fresh(node.name)
        holder.graph.insert_before(holder, node)

    def _move_constant(self, value: ir.Value, holder: ir.Node) -> None:
        """Move a Constant node, or an initializer of a body, in front of ``holder``."""
        node, name = value.producer(), value.name or ""
        if node is not None:
            self._move_node(node, holder)
            return
        old, new, tensor = value.graph, holder.graph, value.const_value
        assert isinstance(old, ir.Graph)
        assert isinstance(new, ir.Graph)
        assert tensor is not None
        del old.initializers[name]
        if name in self._ambiguous:
            name = self._names.fresh(name)
            value.const_value = renamed_tensor(tensor, name)
            value.name = name
        new.register_initializer(value)

    def _merge(self, node: ir.Node, kept: ir.Node) -> list[ir.Node]:
        """Let what reads ``node`` read ``kept``; return the readers."""
        readers, read = list[ir.Node](), list(node.inputs)
        for old, new in zip(node.outputs, kept.outputs, strict=True):
            readers += [user for user, _ in old.uses()]
            self._editor.redirect(old, new)
        assert node.graph is not None
        node.graph.remove(node, safe=True)
        for value in dict.fromkeys(read):
            drop_unread(value)
        return readers


def _output_obstacle(node: ir.Node) -> str:
    for value in node.outputs:
        if value.is_graph_output():
            return f"{value.name!r} is an output of the body, which must compute it"
    return ""


def _key(node: ir.Node, body: ir.Graph) -> Hashable:
    """Return a key that only nodes which compute the same share; constants of the body by value."""
    return (
        node.op_identifier(),
        tuple(_operand(value, body) for value in node.inputs),
        tuple(bool(value.name) for value in node.outputs),
        attributes_key(node),
    )


def _operand(value: ir.Value | None, body: ir.Graph) -> Hashable:
    tensor = None if value is None or value.graph is not body else constant_tensor(value)
    return value if tensor is None or isinstance(tensor, ir.LazyTensor) else TensorKey(tensor)
