"""Adding constants to a graph: initializers, in local functions Constant nodes."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["add_constant"]


def add_constant(
    before: ir.Node, name: str, tensor: ir.TensorProtocol, *, as_node: bool
) -> ir.Value:
    """Add a constant to the graph of a node and return its value.

    Args:
        before: The node that will read it.
        name: A fresh name; the tensor takes it too.
        tensor: A new tensor, which nothing else holds.
        as_node: Whether it must be a ``Constant`` node, as in the graph of a local function.
    """
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    tensor.name = name
    shape = ir.Shape(tensor.shape.numpy())
    if as_node:
        node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], name=name)
        value = node.outputs[0]
        value.name, value.dtype, value.shape = name, tensor.dtype, shape
        graph.insert_before(before, node)
        return value
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value
