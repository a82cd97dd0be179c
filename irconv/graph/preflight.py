"""Looking at a model's message with our own eyes before any other library works on it.

A model file is untrusted. What is checked here is what other libraries were seen to crash, hang
or leak on: sizes that do not hold, nesting, functions that expand without end, names that are
assigned twice or never, cycles, unknown operators, steps of zero. Time is linear in nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from irconv.errors import InputError
from irconv.graph.check_operators import UnknownOperators, check_attributes
from irconv.graph.check_opsets import check_ir_version, domain_of, settle_opsets
from irconv.graph.check_scopes import check_scopes, sort_function
from irconv.graph.check_tensors import TensorChecker, shown
from irconv.graph.check_types import check_types
from irconv.graph.wire import Span

if TYPE_CHECKING:
    import onnx

__all__ = ["Limits", "Preflight", "preflight"]

FunctionId = tuple[str, str, str]

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
        self._calls: dict[FunctionId, list[FunctionId]] = {}
        self._sizes: dict[FunctionId, int] = {}

    def run(self) -> Preflight:
        model = self._model
        check_ir_version(model)
        if len(model.functions) > self._limits.functions:
            raise self._too_much("functions", self._limits.functions)
        functions = self._functions()
        local = {domain: 1 for domain, _, _ in functions}
        used = {"", *_domains(model.graph.node)} | local.keys()
        opsets = settle_opsets(model, used, local, self._note, "the model")
        main: FunctionId = ("", "", "")
        self._calls[main] = []
        self._look_at_graph(model.graph, opsets, functions, main, "the graph", 0)
        for identity, function in functions.items():
            self._look_at_function(identity, function, opsets, functions)
        self._unknown.report()
        check_scopes(model.graph, _bodies, self._note)
        for identity, function in functions.items():
            sort_function(function, _bodies, self._note, _function_label(identity))
        self._check_expansion(main)
        self._check_memory()
        return Preflight(opsets[""], self._nodes, tuple(self._notes))

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _functions(self) -> dict[FunctionId, onnx.FunctionProto]:
        functions: dict[FunctionId, onnx.FunctionProto] = {}
        for function in self._model.functions:
            identity = (domain_of(function.domain), function.name, function.overload)
            if identity in functions:
                raise _bad(f"two functions of the model are named {_function_label(identity)}")
            functions[identity] = function
        return functions

    def _look_at_function(
        self,
        identity: FunctionId,
        function: onnx.FunctionProto,
        opsets: dict[str, int],
        functions: dict[FunctionId, onnx.FunctionProto],
    ) -> None:
        label = _function_label(identity)
        inside = settle_opsets(function, _domains(function.node), opsets, self._note, label)
        self._calls[identity] = []
        before = self._nodes
        for attribute in function.attribute_proto:
            self._look_at_attribute(attribute, inside, functions, identity, label, 0)
        for value in function.value_info:
            check_types(value, label, self._note)
        for node in function.node:
            self._look_at_node(node, inside, functions, identity, label, 0)
        self._sizes[identity] = self._nodes - before

    def _look_at_graph(
        self,
        graph: onnx.GraphProto,
        opsets: dict[str, int],
        functions: dict[FunctionId, onnx.FunctionProto],
        owner: FunctionId,
        label: str,
        depth: int,
    ) -> None:
        if depth > self._limits.nesting:
            raise self._too_much("bodies nested in each other", self._limits.nesting)
        for tensor in graph.initializer:
            self._tensors.check(tensor, label)
        for sparse in graph.sparse_initializer:
            self._look_at_sparse(sparse, label)
        for values in (graph.input, graph.output, graph.value_info):
            for value in values:
                check_types(value, label, self._note)
        for node in graph.node:
            self._look_at_node(node, opsets, functions, owner, label, depth)
        if depth == 0:
            self._sizes[owner] = self._nodes

    def _look_at_node(
        self,
        node: onnx.NodeProto,
        opsets: dict[str, int],
        functions: dict[FunctionId, onnx.FunctionProto],
        owner: FunctionId,
        label: str,
        depth: int,
    ) -> None:
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            raise self._too_much("nodes", self._limits.nodes)
        callee = (domain_of(node.domain), node.op_type, node.overload)
        if callee in functions:
            self._calls[owner].append(callee)
        else:
            self._unknown.look_at(node, opsets, label)
        if not node.attribute:
            return
        label = f"node {shown(node.name)} ({node.op_type}) of {label}"
        check_attributes(node, label)
        seen: set[str] = set()
        for attribute in node.attribute:
            if not attribute.name or attribute.name in seen:
                raise _bad(f"{label}: the attribute {shown(attribute.name)} is given twice")
            seen.add(attribute.name)
            self._look_at_attribute(attribute, opsets, functions, owner, label, depth)

    def _look_at_attribute(
        self,
        attribute: onnx.AttributeProto,
        opsets: dict[str, int],
        functions: dict[FunctionId, onnx.FunctionProto],
        owner: FunctionId,
        label: str,
        depth: int,
    ) -> None:
        kind = attribute.type
        if kind not in attribute.AttributeType.values() or kind == attribute.UNDEFINED:
            raise _bad(f"{label}: the attribute {shown(attribute.name)} has no known type")
        if attribute.ref_attr_name:
            return
        if kind == attribute.STRINGS:
            for text in attribute.strings:
                text.decode()
        for tensor in (attribute.t,) if kind == attribute.TENSOR else attribute.tensors:
            self._tensors.check(tensor, label)
        for sparse in (
            (attribute.sparse_tensor,)
            if kind == attribute.SPARSE_TENSOR
            else attribute.sparse_tensors
        ):
            self._look_at_sparse(sparse, label)
        for graph in _graphs(attribute):
            self._look_at_graph(graph, opsets, functions, owner, f"a body of {label}", depth + 1)

    def _look_at_sparse(self, sparse: onnx.SparseTensorProto, label: str) -> None:
        self._tensors.check(sparse.values, label)
        self._tensors.check(sparse.indices, label)

    def _check_expansion(self, main: FunctionId) -> None:
        """Count the nodes after expanding all functions, each function once."""
        totals: dict[FunctionId, int] = {}
        active: dict[FunctionId, None] = {}

        def total(identity: FunctionId) -> int:
            if identity in totals:
                return totals[identity]
            if identity in active:
                names = [_function_label(name) for name in (*active, identity)]
                raise _bad(f"functions call each other without end: {' -> '.join(names[1:])}")
            if len(active) > self._limits.nesting:
                raise self._too_much("functions that call each other", self._limits.nesting)
            active[identity] = None
            count = self._sizes[identity]
            count += sum(total(callee) for callee in self._calls[identity])
            del active[identity]
            if count > self._limits.expanded_nodes:
                raise self._too_much(
                    "nodes after expanding its functions", self._limits.expanded_nodes
                )
            totals[identity] = count
            return count

        total(main)
        for identity in self._calls:
            total(identity)

    def _check_memory(self) -> None:
        needed, free = self._nodes * _MEMORY_PER_NODE, psutil.virtual_memory().available
        if needed > free:
            raise InputError(
                f"the model has {self._nodes:,} nodes, which take about {needed / 2**30:.1f} GiB "
                f"of memory, and {free / 2**30:.1f} GiB are free",
                where="checking the model file",
                hint="use a machine with more memory",
            )

    @staticmethod
    def _too_much(what: str, limit: int) -> InputError:
        return InputError(
            f"the model has more than {limit:,} {what}",
            where="checking the model file",
            hint="no known exporter makes such a model; split it if it is really meant",
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


def _bad(what: str) -> InputError:
    return InputError(
        what,
        where="checking the model file",
        hint="the file is damaged or was made by a faulty exporter; export the model again",
    )
