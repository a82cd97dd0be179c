"""Walking every graph of a model: the main graph, subgraph bodies, local functions."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

__all__ = [
    "all_graphs",
    "all_nodes",
    "nested_graphs",
    "node_count",
    "nodes_in_depth",
    "subgraphs_of",
]

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def all_graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """Yield the main graph, then bodies inside it, then each function's graph and bodies."""
    yield model.graph
    yield from nested_graphs(model.graph)
    for function in model.functions.values():
        yield function.graph
        yield from nested_graphs(function.graph)


def nested_graphs(graph: ir.Graph) -> Iterator[ir.Graph]:
    """Yield the bodies inside ``graph``, at any depth, each before those inside it."""
    open_graphs = [iter(graph)]
    while open_graphs:
        for node in open_graphs[-1]:
            attributes = node.attributes.data
            bodies = _bodies(attributes) if attributes else ()
            if bodies:
                yield from bodies
                open_graphs.extend(iter(body) for body in reversed(bodies))
                break
        else:
            open_graphs.pop()


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Yield every node of every graph of the model."""
    for graph in all_graphs(model):
        yield from graph


def nodes_in_depth(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield the nodes of ``graph`` and of the bodies inside it, a body's right behind its holder.

    The order is that of ``graph.all_nodes()`` of ``onnx_ir``, in a third of its time.
    """
    open_graphs = [iter(graph)]
    while open_graphs:
        for node in open_graphs[-1]:
            yield node
            attributes = node.attributes.data
            bodies = _bodies(attributes) if attributes else ()
            if bodies:
                open_graphs.extend(iter(body) for body in reversed(bodies))
                break
        else:
            open_graphs.pop()


def node_count(model: ir.Model) -> int:
    """Return the number of nodes in all graphs of the model."""
    return sum(len(graph) for graph in all_graphs(model))


def subgraphs_of(node: ir.Node) -> tuple[ir.Graph, ...]:
    """Return the graphs that are attributes of ``node``, not those nested deeper."""
    return _bodies(node.attributes.data)


def _bodies(attributes: dict[str, ir.Attr]) -> tuple[ir.Graph, ...]:
    bodies: tuple[ir.Graph, ...] = ()
    for attribute in attributes.values():
        if attribute.type not in _GRAPHS or attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            bodies += (attribute.as_graph(),)
        else:
            bodies += tuple(attribute.as_graphs())
    return bodies
