"""Looking at a model's message with our own eyes before any other library works on it.

A model file is untrusted. What is checked here is what other libraries were seen to crash, hang
or leak on: sizes that do not hold, nesting, functions that expand without end, names that are
assigned twice or never, cycles, unknown operators, steps of zero. Time is linear in nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from irconv.errors import InputError
from irconv.graph.preflight.densify import densify
from irconv.graph.preflight.functions import FunctionId, check_expansion
from irconv.graph.preflight.messages import damaged, shown, too_much
from irconv.graph.preflight.operators import UnknownOperators, check_attributes
from irconv.graph.preflight.opsets import check_ir_version, domain_of, settle_opsets
from irconv.graph.preflight.scopes import check_scopes, sort_function
from irconv.graph.preflight.tensors import TensorChecker
from irconv.graph.preflight.text import check_text
from irconv.graph.preflight.types import check_types
from irconv.graph.reading.wire import Span

if TYPE_CHECKING:
    import onnx

__all__ = ["Limits", "Preflight", "preflight"]

_MAIN: FunctionId = ("", "", "")
_ATTRIBUTE_KINDS = frozenset(range(1, 15))
"""The values of ``AttributeProto.AttributeType``, without ``UNDEFINED``."""

_UNUSED_OPSET = 21
"""What a model without a node of the default domain imports; every runtime of today reads it."""
_MEMORY_PER_NODE = 3000
"""Bytes that a node takes in the IR, measured on a chain of nodes with one input."""


@dataclass(frozen=True)
class Limits:
    """What no honest model exceeds.

    Attributes:
        nodes: Nodes in all graphs, bodies and functions, as they stand in the file.
        expanded_nodes: Nodes after every call of a function is replaced by its body.
        tensors: Tensors in initializers and attributes.
        functions: Functions of the model's own.
        nesting: How deep bodies may lie within bodies, and functions within calls.
    """

    nodes: int = 2_000_000
    expanded_nodes: int = 10_000_000
    tensors: int = 4_000_000
    functions: int = 20_000
    nesting: int = 32


@dataclass(frozen=True)
class Preflight:
    """What the checks found out.

    Attributes:
        opset: Version of the default domain.
        nodes: Nodes in all graphs, bodies and functions.
        notes: What was changed in the message, in plain words.
    """

    opset: int
    nodes: int
    notes: tuple[str, ...]


def preflight(
    model: onnx.ModelProto,
    carved: Callable[[bytes], Span | None] = lambda data: None,
    limits: Limits | None = None,
) -> Preflight:
    """Check a model's message and settle what it leaves open, in place.

    Args:
        model: The message.
        carved: Returns the span of a token that stands for data in the file, or None.
        limits: What the model may not exceed.

    Raises:
        InputError: If the model is damaged, hostile or uses what is not known.
    """
    return _Preflight(model, carved, limits or Limits()).run()


@dataclass
class _Owner:
    """The main graph or a function: what its nodes are looked at under.

    Attributes:
        label: What it is, for messages.
        opsets: The version of each domain.
        nodes: Its nodes, those in bodies included.
        calls: The functions that they call.
    """

    label: str
    opsets: dict[str, int]
    nodes: int = 0
    calls: list[FunctionId] = field(default_factory=list)


class _Preflight:
    def __init__(
        self, model: onnx.ModelProto, carved: Callable[[bytes], Span | None], limits: Limits
    ) -> None:
        self._model = model
        self._limits = limits
        self._tensors = TensorChecker(carved, limits.tensors)
        self._unknown = UnknownOperators()
        self._notes: dict[str, None] = {}
        self._nodes = 0
        self._functions: dict[FunctionId, onnx.FunctionProto] = {}

    def run(self) -> Preflight:
        model = self._model
        check_ir_version(model)
        check_text(model, "the model")
        self._index_functions()
        owners = {_MAIN: self._look_at_main()}
        for identity, function in self._functions.items():
            owners[identity] = self._look_at_function(identity, function, owners[_MAIN].opsets)
        self._unknown.report()
        for holder in (model.graph, *self._functions.values()):
            densify(holder, _bodies, self._note)
        check_scopes(model.graph, _bodies, self._note)
        for identity, function in self._functions.items():
            sort_function(function, _bodies, self._note, _function_label(identity))
        check_expansion(
            {identity: (owner.nodes, owner.calls) for identity, owner in owners.items()},
            most_nodes=self._limits.expanded_nodes,
            deepest=self._limits.nesting,
            label=_function_label,
        )
        self._check_memory()
        return Preflight(owners[_MAIN].opsets[""], self._nodes, tuple(self._notes))

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _index_functions(self) -> None:
        if len(self._model.functions) > self._limits.functions:
            raise too_much("functions", self._limits.functions)
        for function in self._model.functions:
            check_text(function, "a function of the model")
            identity = (domain_of(function.domain), function.name, function.overload)
            if identity in self._functions:
                raise damaged(f"two functions of the model are {_function_label(identity)}")
            self._functions[identity] = function

    def _look_at_main(self) -> _Owner:
        model = self._model
        local = {domain: 1 for domain, _, _ in self._functions}
        used = _domains(model.graph.node) | local.keys()
        opsets = settle_opsets(model, used, local, self._note, "the model")
        if "" not in opsets:
            opsets[""] = _UNUSED_OPSET
            model.opset_import.add(domain="", version=_UNUSED_OPSET)
        owner = _Owner("the graph", opsets)
        self._look_at_graph(model.graph, owner, owner.label, 0)
        return owner

    def _look_at_function(
        self, identity: FunctionId, function: onnx.FunctionProto, opsets: dict[str, int]
    ) -> _Owner:
        label = _function_label(identity)
        used = _domains(function.node)
        owner = _Owner(label, settle_opsets(function, used, opsets, self._note, label))
        for attribute in function.attribute_proto:
            self._look_at_attribute(attribute, owner, label, 0)
        for value in function.value_info:
            check_types(value, label, self._note)
        for node in function.node:
            self._look_at_node(node, owner, label, 0)
        return owner

    def _look_at_graph(self, graph: onnx.GraphProto, owner: _Owner, label: str, depth: int) -> None:
        if depth > self._limits.nesting:
            raise too_much("bodies nested in each other", self._limits.nesting)
        check_text(graph, label)
        for tensor in graph.initializer:
            self._tensors.check(tensor, label)
        for sparse in graph.sparse_initializer:
            self._look_at_sparse(sparse, label)
        for values in (graph.input, graph.output, graph.value_info):
            for value in values:
                check_types(value, label, self._note)
        for node in graph.node:
            self._look_at_node(node, owner, label, depth)

    def _look_at_node(self, node: onnx.NodeProto, owner: _Owner, label: str, depth: int) -> None:
        self._nodes += 1
        owner.nodes += 1
        if self._nodes > self._limits.nodes:
            raise too_much("nodes", self._limits.nodes)
        check_text(node, label)
        callee = (domain_of(node.domain), node.op_type, node.overload)
        if callee in self._functions:
            owner.calls.append(callee)
        else:
            self._unknown.look_at(node, owner.opsets, label)
        if not node.attribute:
            return
        label = f"node {shown(node.name)} ({node.op_type}) of {label}"
        check_attributes(node, label)
        seen: set[str] = set()
        for attribute in node.attribute:
            if not attribute.name:
                raise damaged(f"{label}: an attribute has no name")
            if attribute.name in seen:
                raise damaged(f"{label}: the attribute {shown(attribute.name)} is given twice")
            seen.add(attribute.name)
            self._look_at_attribute(attribute, owner, label, depth)

    def _look_at_attribute(
        self, attribute: onnx.AttributeProto, owner: _Owner, label: str, depth: int
    ) -> None:
        check_text(attribute, label)
        kind = attribute.type
        if kind not in _ATTRIBUTE_KINDS:
            raise damaged(f"{label}: the attribute {shown(attribute.name)} has no known type")
        if attribute.ref_attr_name:
            return
        if kind == attribute.STRINGS:
            for text in attribute.strings:
                text.decode()
        elif kind == attribute.TENSOR:
            self._tensors.check(attribute.t, label)
        elif kind == attribute.TENSORS:
            for tensor in attribute.tensors:
                self._tensors.check(tensor, label)
        elif kind == attribute.SPARSE_TENSOR:
            self._look_at_sparse(attribute.sparse_tensor, label)
        for graph in _graphs(attribute):
            self._look_at_graph(graph, owner, f"a body of {label}", depth + 1)

    def _look_at_sparse(self, sparse: onnx.SparseTensorProto, label: str) -> None:
        self._tensors.check(sparse.values, label)
        self._tensors.check(sparse.indices, label)

    def _check_memory(self) -> None:
        needed, free = self._nodes * _MEMORY_PER_NODE, psutil.virtual_memory().available
        if needed > free:
            raise InputError(
                f"the model has {self._nodes:,} nodes, which take about {needed / 2**30:.1f} GiB "
                f"of memory, and {free / 2**30:.1f} GiB are free",
                where="checking the model file",
                hint="use a machine with more memory",
            )


def _domains(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the domains of nodes and of the nodes in their bodies."""
    found: set[str] = set()
    waiting: list[Iterator[onnx.NodeProto]] = [iter(nodes)]
    while waiting:
        for node in waiting.pop():
            found.add(domain_of(node.domain))
            if node.attribute:
                waiting += [iter(body.node) for body in _bodies(node)]
    return found


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [graph for attribute in node.attribute for graph in _graphs(attribute)]


def _graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    if attribute.ref_attr_name:
        return []
    if attribute.type == attribute.GRAPH:
        return [attribute.g]
    return list(attribute.graphs) if attribute.type == attribute.GRAPHS else []


def _function_label(identity: FunctionId) -> str:
    domain, name, overload = identity
    text = f"{domain}::{name}" + (f":{overload}" if overload else "")
    return f"function {shown(text)}"
