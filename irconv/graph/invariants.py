"""What must hold of a model between any two passes.

Single assignment, definition before use, one owner a node, an opset for every domain, data for
every initializer, and an interface that no pass may rename or retype. Linear in nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.walk import subgraphs_of

__all__ = ["Interface", "InvariantError", "check_invariants", "interface_of"]


class InvariantError(Exception):
    """A pass left a model in a state that no model may be in."""


@dataclass(frozen=True)
class Interface:
    """Names and dtypes of a model's inputs and outputs, in order."""

    inputs: tuple[tuple[str | None, str], ...]
    outputs: tuple[tuple[str | None, str], ...]


def interface_of(model: ir.Model) -> Interface:
    """Return what no pass may change about a model."""
    return Interface(
        tuple((value.name, str(value.dtype)) for value in model.graph.inputs),
        tuple((value.name, str(value.dtype)) for value in model.graph.outputs),
    )


def check_invariants(model: ir.Model, interface: Interface | None = None) -> None:
    """Check the whole model, bodies and functions included.

    Args:
        model: The model.
        interface: What inputs and outputs must look like; None leaves that unchecked.

    Raises:
        InvariantError: Naming the first thing that does not hold.
    """
    opsets = set(model.opset_imports)
    _check_graph(model.graph, frozenset(), opsets)
    for function in model.functions.values():
        _check_graph(function.graph, frozenset(), opsets | set(function.opset_imports))
    found = interface_of(model)
    if interface is not None and found != interface:
        raise InvariantError(f"the interface changed: {_difference(interface, found)}")


def _difference(before: Interface, after: Interface) -> str:
    for side in ("inputs", "outputs"):
        was, now = getattr(before, side), getattr(after, side)
        if was != now:
            return f"{side} were {list(was)}, now {list(now)}"
    return "nothing"


def _check_graph(graph: ir.Graph, outer: frozenset[ir.Value], opsets: set[str]) -> None:
    names: dict[str, ir.Value] = {}
    defined: set[ir.Value] = set()

    def define(value: ir.Value) -> None:
        if not value.name:
            raise InvariantError(f"graph {graph.name!r} has a value without a name")
        if names.setdefault(value.name, value) is not value:
            raise InvariantError(f"two values of graph {graph.name!r} are named {value.name!r}")
        defined.add(value)

    for value in graph.inputs:
        define(value)
    for name, value in graph.initializers.items():
        if name != value.name:
            raise InvariantError(f"initializer {name!r} is stored under another name")
        if value.const_value is None:
            raise InvariantError(f"initializer {name!r} has no data")
        if value.producer() is not None:
            raise InvariantError(f"initializer {name!r} is also computed by a node")
        define(value)
    for node in graph:
        _check_node(node, graph, defined, outer, opsets)
        for output in node.outputs:
            if output.name != "":
                define(output)
    for value in graph.outputs:
        if value not in defined and value not in outer:
            raise InvariantError(f"graph output {value.name!r} is never defined")


def _check_node(
    node: ir.Node,
    graph: ir.Graph,
    defined: set[ir.Value],
    outer: frozenset[ir.Value],
    opsets: set[str],
) -> None:
    label = f"node {node.name!r} ({node.op_type})"
    if node.graph is not graph:
        raise InvariantError(f"{label} says that it belongs to another graph")
    if node.domain not in opsets:
        raise InvariantError(f"{label}: no opset is imported for domain {node.domain!r}")
    for value in node.inputs:
        if value is not None and value not in defined and value not in outer:
            raise InvariantError(f"{label} reads {value.name!r} before it is defined")
    bodies = list(subgraphs_of(node))
    if bodies:
        visible = outer | defined
        for body in bodies:
            _check_graph(body, visible, opsets)
