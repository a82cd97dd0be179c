"""Putting copies of a body's nodes where the node with the body stands."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from irconv.graph.scopes import nested_nodes
from irconv.passes.decompose.block import Block, Keep
from irconv.passes.decompose.site import Site

__all__ = ["add_body", "read_body"]


def read_body(site: Site, name: str, inputs: int, outputs: int) -> ir.Graph:
    """Return a body of the node; keeps the node where the body is none that can be copied.

    Args:
        site: The node.
        name: Name of the attribute.
        inputs: How many inputs the body has to have.
        outputs: How many outputs it has to have at least.
    """
    body = site.optional(name)
    if not isinstance(body, ir.Graph):
        raise Keep(f"it has no graph as its attribute {name!r}")
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise Keep(
            f"its {name} takes {len(body.inputs)} inputs and puts out {len(body.outputs)},"
            f" but {inputs} and {outputs} are due"
        )
    for value in body.outputs:
        if value.graph is not body or not (
            value.producer() or value.is_graph_input() or value.is_initializer()
        ):
            raise Keep(f"its {name} puts out {value.name!r}, which it does not compute")
    return body


def add_body(block: Block, body: ir.Graph, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Add a copy of a body's nodes to a block and return what the body puts out.

    Args:
        block: Where nodes are added; it sees all that the body sees.
        body: The body, which stays as it is. Its initializers become constants.
        arguments: What its inputs stand for.
    """
    copy = body.clone(allow_outer_scope_values=True)
    stands_for: dict[ir.Value, ir.Value] = dict(zip(copy.inputs, arguments, strict=True))
    for value in copy.initializers.values():
        if value.const_value is not None:
            stands_for[value] = _constant(block, value.const_value)
    results = [stands_for.get(value, value) for value in copy.outputs]
    for formal, actual in stands_for.items():
        formal.replace_all_uses_with(actual, replace_graph_outputs=True)
    nodes = list(copy)
    copy.outputs.clear()
    copy.remove(nodes)
    for node in nodes:
        for inner in (node, *nested_nodes(node)):
            for value in inner.outputs:
                if value.name:
                    value.name = block.names.fresh(value.name)
            inner.name = next((v.name for v in inner.outputs if v.name), inner.name)
        for graph in node.attributes.values():
            _rename_inputs(block, graph)
    block.nodes += nodes
    return results


def _constant(block: Block, tensor: ir.TensorProtocol) -> ir.Value:
    node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)])
    value = node.outputs[0]
    value.name = node.name = block.names.fresh(f"{block.stem}_Constant")
    value.type = ir.TensorType(tensor.dtype)
    value.shape = ir.Shape(tensor.shape.numpy())
    block.nodes.append(node)
    return value


def _rename_inputs(block: Block, attribute: ir.Attr) -> None:
    """Give the inputs of bodies in an attribute, at any depth, names of their own."""
    if attribute.is_ref() or attribute.type != ir.AttributeType.GRAPH:
        return
    graph = attribute.as_graph()
    for value in graph.inputs:
        value.name = block.names.fresh(value.name or block.stem)
    for node in graph:
        for inner in node.attributes.values():
            _rename_inputs(block, inner)
