"""Types of the outputs of one new node, by the inference function of its ONNX schema."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.walk import subgraphs_of

__all__ = ["infer_outputs", "type_proto"]

_MAX_CONSTANT = 1 << 12


def type_proto(value: ir.Value) -> onnx.TypeProto | None:
    """Return the ONNX type of a value, or None where it is unknown."""
    if value.type is None or value.dtype in (None, ir.DataType.UNDEFINED):
        return None
    return ir.serde.serialize_value(value).type


def infer_outputs(node: ir.Node, version: int) -> None:
    """Set the types and shapes of the outputs of ``node`` as far as they can be inferred.

    Args:
        node: A node of the default domain whose inputs are typed; it is left alone if it has
            bodies, or an input without a type.
        version: The opset version that the node is in.
    """
    if any(True for _ in subgraphs_of(node)):
        return
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for value in node.inputs:
        if value is None:
            continue
        kind = type_proto(value)
        if kind is None:
            return
        types[value.name or ""] = kind
        tensor = constant_tensor(value)
        if tensor is not None and tensor.size <= _MAX_CONSTANT:
            data[value.name or ""] = ir.serde.serialize_tensor(tensor)
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            ir.serde.serialize_node(node),
            types,
            input_data=data,
            opset_imports=[onnx.helper.make_opsetid("", version)],
        )
    except (
        onnx.defs.SchemaError,
        onnx.shape_inference.InferenceError,
        onnx.checker.ValidationError,
        ValueError,
        RuntimeError,
    ):
        return
    for value in node.outputs:
        if value.name in found:
            info = onnx.ValueInfoProto(name=value.name, type=found[value.name])
            inferred = ir.serde.deserialize_value_info_proto(info, None)
            value.type, value.shape = inferred.type, inferred.shape
