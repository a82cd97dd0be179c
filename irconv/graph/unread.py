"""Dropping constants that a rewrite left without a reader."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["drop_unread"]


def drop_unread(value: ir.Value | None) -> None:
    """Remove ``value`` if it is a constant that nothing reads, so that its data can be freed.

    Graph inputs and outputs stay, and so does whatever a node other than Constant computes.
    """
    if value is None or value.uses() or value.is_graph_output() or value.is_graph_input():
        return
    graph, producer = value.graph, value.producer()
    if not isinstance(graph, ir.Graph):
        return
    if producer is not None:
        if producer.op_type == "Constant" and producer.domain == "":
            graph.remove(producer, safe=True)
    elif value.is_initializer():
        del graph.initializers[value.name or ""]
