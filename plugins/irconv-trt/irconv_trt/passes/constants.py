"""New constants of a graph, and the removal of those that nothing reads any more."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from irconv.graph.names import NameAllocator

__all__ = ["add_initializer", "drop_unread"]


def add_initializer(
    graph: ir.Graph, names: NameAllocator, base: str, array: np.ndarray
) -> ir.Value:
    """Add ``array`` to ``graph`` under a free name made from ``base``."""
    name = names.fresh(base)
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def drop_unread(constants: Iterable[ir.Value]) -> None:
    """Remove those of ``constants`` (initializers, outputs of Constant) that nothing reads."""
    producers: dict[ir.Graph, list[ir.Node]] = {}
    for value in constants:
        if value.uses() or value.is_graph_output():
            continue
        graph, producer = value.graph, value.producer()
        assert isinstance(graph, ir.Graph)
        if producer is not None:
            producers.setdefault(graph, []).append(producer)
        else:
            del graph.initializers[value.name or ""]
    for graph, nodes in producers.items():
        graph.remove(nodes, safe=True)
