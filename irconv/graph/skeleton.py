"""A model as a small protobuf message: all structure, but no large weight.

ONNX's own C++ functions take a serialized model, which may hold 2 GB at most. What they need of
a weight is dtype and shape; the content matters only for small tensors such as shapes and axes.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.scopes import ONNX_DOMAINS
from irconv.graph.walk import all_graphs, all_nodes

__all__ = ["forget_inferred_types", "skeleton_proto"]

_KEPT_ITEMS = 1024


def skeleton_proto(model: ir.Model) -> onnx.ModelProto:
    """Serialize ``model`` with every tensor of over 1,024 elements declared, not stored.

    Such a tensor becomes external data at a place that does not exist, so the message must not
    be run. Intermediate types and shapes of standard operators are left out, since a file may
    state them wrongly; they follow from the inputs.
    """
    copy = model.clone()
    for graph in all_graphs(copy):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = _declared(value.const_value, value.name or "")
    for node in all_nodes(copy):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                node.attributes[name] = ir.AttrTensor(name, _declared(attribute.as_tensor(), ""))
    forget_inferred_types(copy)
    return ir.to_proto(copy)


def forget_inferred_types(model: ir.Model) -> None:
    """Clear type and shape of what standard operators and local functions compute.

    Outputs of the main graph keep their type, which is part of the interface. What Attention
    reads keeps the size of its last dim: ONNX takes one that it does not know for 0 there.
    """
    functions = model.functions
    widths = _attention_widths(model)
    for node in all_nodes(model):
        if node.domain in ONNX_DOMAINS or node.op_identifier() in functions:
            for value in node.outputs:
                value.shape = widths.get(value)
                if value in widths:
                    continue
                if not value.is_graph_output() or value.graph is not model.graph:
                    value.type = None


def _attention_widths(model: ir.Model) -> dict[ir.Value, ir.Shape]:
    """Return shapes of which only the last of three dims is known."""
    found: dict[ir.Value, ir.Shape] = {}
    for node in all_nodes(model):
        if node.op_type != "Attention" or node.domain != "":
            continue
        for value in node.inputs[:3]:
            if value is None or value.shape is None or len(value.shape) != 3:
                continue
            width = value.shape[2]
            if isinstance(width, int):
                found[value] = ir.Shape([None, None, width])
    return found


def _declared(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    if tensor.dtype == ir.DataType.STRING:
        return tensor
    if tensor.size > _KEPT_ITEMS or tensor.dtype.bitwidth < 8:
        return ir.ExternalTensor(
            "elided",
            0,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            base_dir="",
        )
    if isinstance(tensor, ir.ExternalTensor):
        return ir.Tensor(np.array(tensor.numpy()), name=name)
    return tensor
