"""Adding a constant to a graph."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["add_constant"]


def add_constant(
    before: ir.Node, name: str, tensor: ir.TensorProtocol, *, is_function: bool
) -> ir.Value:
    """Add a constant to the graph of ``before`` and return its value.

    Args:
        before: A node; a Constant node is put in front of it.
        name: A name that nothing in the model bears; the tensor takes it too.
        tensor: The data.
        is_function: Whether the graph belongs to a local function. Functions hold no
            initializers, so the constant becomes a Constant node.
    """
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    tensor.name = name
    shape = ir.Shape(tensor.shape.numpy())
    if is_function:
        node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], name=name)
        value = node.outputs[0]
        value.name, value.dtype, value.shape = name, tensor.dtype, shape
        graph.insert_before(before, node)
        return value
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value
