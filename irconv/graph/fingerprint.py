"""A fast fingerprint of a model's structure, to tell whether a pass changed anything.

The fingerprint holds within one process and one model: tensors count by identity, because
passes never write into a tensor that they did not make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

__all__ = ["attribute_signature", "fingerprint", "function_fingerprint"]


def fingerprint(model: ir.Model) -> int:
    """Return a hash of graph structure, names, types, shapes, attributes and tensor identity.

    Linear in the number of nodes; no weight is read.
    """
    functions = tuple(
        (identifier, function_fingerprint(function))
        for identifier, function in model.functions.items()
    )
    return hash(
        (
            _graph(model.graph),
            functions,
            model.ir_version,
            _items(model.opset_imports),
            _items(model.metadata_props),
        )
    )


def _items(mapping: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(mapping.items()))


def function_fingerprint(function: ir.Function) -> int:
    """Return the hash of one local function, as :func:`fingerprint` makes it of the model."""
    attributes = tuple((name, str(attribute)) for name, attribute in function.attributes.items())
    return hash((attributes, _graph(function.graph), _items(function.opset_imports)))


def _graph(graph: ir.Graph) -> int:
    return hash(
        (
            graph.name,
            _values(graph.inputs),
            _values(graph.outputs),
            _values(graph.initializers.values()),
            tuple(_node(node) for node in graph),
        )
    )


def _values(values: Iterable[ir.Value]) -> tuple[object, ...]:
    return tuple(_value(value) for value in values)


def _value(value: ir.Value) -> tuple[object, ...]:
    shape = None if value.shape is None else tuple(str(dim) for dim in value.shape)
    kind = None if value.type is None else repr(value.type)
    tensor = None if value.const_value is None else id(value.const_value)
    return (value.name, kind, shape, tensor)


def _node(node: ir.Node) -> int:
    return hash(
        (
            node.domain,
            node.op_type,
            node.overload,
            node.name,
            tuple(None if value is None else value.name for value in node.inputs),
            _values(node.outputs),
            tuple(attribute_signature(attribute) for attribute in node.attributes.values()),
        )
    )


def attribute_signature(attribute: ir.Attr) -> tuple[object, ...]:
    """Return what tells attributes apart within one process; tensors count by identity."""
    if attribute.is_ref():
        return (attribute.name, attribute.ref_attr_name)
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.name, _graph(attribute.as_graph()))
    if attribute.type == ir.AttributeType.GRAPHS:
        return (attribute.name, tuple(_graph(graph) for graph in attribute.as_graphs()))
    if attribute.type in (ir.AttributeType.TENSOR, ir.AttributeType.SPARSE_TENSOR):
        return (attribute.name, id(attribute.value))
    if attribute.type == ir.AttributeType.TENSORS:
        return (attribute.name, tuple(id(tensor) for tensor in attribute.as_tensors()))
    return (attribute.name, repr(attribute.value))
