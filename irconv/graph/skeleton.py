"""A model as a small protobuf message: all structure, but no large weight.

ONNX's own C++ functions take a serialized model, which may hold 2 GB at most. What they need of
a weight is dtype and shape; the content matters only for small tensors such as shapes and axes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from typing import Any, TypeGuard

import onnx
import onnx_ir as ir

from irconv.graph.scopes import ONNX_DOMAINS

__all__ = ["skeleton_proto"]

_KEPT_ITEMS = 1024
_PACKED = 3
"""Rank of operands of Attention whose heads stand side by side in the last dim."""
_Identifier = tuple[str, str, str]


def skeleton_proto(model: ir.Model) -> onnx.ModelProto:
    """Serialize ``model`` with every tensor of over 1,024 elements declared, not stored.

    Such a tensor becomes external data at a place that does not exist, so the message must not
    be run. Intermediate types and shapes of standard operators are left out, since a file may
    state them wrongly; they follow from the inputs. Outputs of the main graph keep their type,
    which is part of the interface, and 3-D operands of Attention the size of their last dim: ONNX
    takes one that it does not know for 0 there.
    """
    proto = onnx.ModelProto(ir_version=model.ir_version)
    _opsets_into(proto.opset_import, model.opset_imports)
    functions = model.functions.keys()
    _graph_into(proto.graph, model.graph, functions, top=True)
    for function in model.functions.values():
        _function_into(proto.functions.add(), function, functions)
    return proto


def _opsets_into(protos: Any, opsets: Mapping[str, int]) -> None:
    for domain, version in opsets.items():
        proto = protos.add()
        proto.domain, proto.version = domain, version


def _function_into(
    proto: onnx.FunctionProto, function: ir.Function, functions: Collection[_Identifier]
) -> None:
    proto.domain, proto.name, proto.overload = function.domain, function.name, function.overload
    _opsets_into(proto.opset_import, function.opset_imports)
    proto.input.extend(value.name or "" for value in function.inputs)
    proto.output.extend(value.name or "" for value in function.outputs)
    for attribute in function.attributes.values():
        if attribute.value is None:
            proto.attribute.append(attribute.name)
        else:
            ir.serde.serialize_attribute_into(proto.attribute_proto.add(), attribute)
    for node in function:
        _node_into(proto.node.add(), node, functions)


def _graph_into(
    proto: onnx.GraphProto,
    graph: ir.Graph,
    functions: Collection[_Identifier],
    *,
    top: bool = False,
) -> None:
    proto.name = graph.name or ""
    for value in graph.inputs:
        _value_into(proto.input.add(), value, typed=True, shaped=True)
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            _tensor_into(proto.initializer.add(), value.const_value, name)
    packed: dict[ir.Value, None] = {}
    for node in graph:
        _node_into(proto.node.add(), node, functions)
        if not _is_inferred(node, functions):
            for value in node.outputs:
                if value.name and not value.is_graph_output():
                    _value_into(proto.value_info.add(), value, typed=True, shaped=True)
        if node.op_type == "Attention" and node.domain == "":
            packed |= {value: None for value in node.inputs[:3] if _is_packed(value, functions)}
    for value in graph.outputs:
        producer = value.producer()
        inferred = producer is not None and _is_inferred(producer, functions)
        _value_into(proto.output.add(), value, typed=top or not inferred, shaped=not inferred)
    outputs = {info.name: info for info in proto.output}
    for value in packed:
        _width_into(outputs.get(value.name or "") or proto.value_info.add(), value)


def _is_packed(value: ir.Value | None, functions: Collection[_Identifier]) -> TypeGuard[ir.Value]:
    """Whether a value that is inferred has three dims, the last of which the model states."""
    maker = None if value is None else value.producer()
    if value is None or maker is None or not _is_inferred(maker, functions):
        return False
    if value.type is None or value.shape is None or len(value.shape) != _PACKED:
        return False
    return isinstance(value.shape[2], int)


def _width_into(proto: onnx.ValueInfoProto, value: ir.Value) -> None:
    assert value.shape is not None
    _value_into(proto, value, typed=True, shaped=False)
    ir.serde.serialize_shape_into(proto.type, ir.Shape([None, None, value.shape[2]]))


def _is_inferred(node: ir.Node, functions: Collection[_Identifier]) -> bool:
    """Whether types and shapes of a node's outputs follow from its inputs."""
    return node.domain in ONNX_DOMAINS or node.op_identifier() in functions


def _value_into(proto: onnx.ValueInfoProto, value: ir.Value, *, typed: bool, shaped: bool) -> None:
    proto.name = value.name or ""
    if not typed or value.type is None:
        return
    ir.serde.serialize_type_into(proto.type, value.type)
    if shaped and value.shape is not None:
        ir.serde.serialize_shape_into(proto.type, value.shape)


def _node_into(proto: onnx.NodeProto, node: ir.Node, functions: Collection[_Identifier]) -> None:
    proto.op_type, proto.domain, proto.overload = node.op_type, node.domain, node.overload
    proto.name = node.name or ""
    proto.input.extend("" if value is None else value.name or "" for value in node.inputs)
    proto.output.extend(value.name or "" for value in node.outputs)
    for attribute in node.attributes.values():
        _attribute_into(proto.attribute.add(), attribute, functions)


def _attribute_into(
    proto: onnx.AttributeProto, attribute: ir.Attr, functions: Collection[_Identifier]
) -> None:
    proto.name = attribute.name
    if attribute.is_ref():
        ir.serde.serialize_reference_attribute_into(proto, attribute)
    elif attribute.type == ir.AttributeType.TENSOR:
        proto.type = onnx.AttributeProto.TENSOR
        tensor: ir.TensorProtocol = attribute.value
        _tensor_into(proto.t, tensor, tensor.name or "")
    elif attribute.type == ir.AttributeType.GRAPH:
        proto.type = onnx.AttributeProto.GRAPH
        _graph_into(proto.g, attribute.as_graph(), functions)
    elif attribute.type == ir.AttributeType.GRAPHS:
        proto.type = onnx.AttributeProto.GRAPHS
        for graph in attribute.as_graphs():
            _graph_into(proto.graphs.add(), graph, functions)
    else:
        ir.serde.serialize_attribute_into(proto, attribute)


def _tensor_into(proto: onnx.TensorProto, tensor: ir.TensorProtocol, name: str) -> None:
    if tensor.dtype == ir.DataType.STRING:
        ir.serde.serialize_tensor_into(proto, tensor)
        proto.name = name
        return
    proto.name, proto.data_type = name, int(tensor.dtype)
    dims = tensor.shape.numpy()
    proto.dims.extend(dims)
    if prod(dims) > _KEPT_ITEMS or tensor.dtype.bitwidth < 8:
        proto.data_location = onnx.TensorProto.EXTERNAL
        proto.external_data.add(key="location", value="elided")
    else:
        proto.raw_data = tensor.tobytes()
