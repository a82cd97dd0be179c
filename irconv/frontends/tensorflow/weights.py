"""From tf2onnx's graph to the IR, weights taken out before protobuf copies them.

This module handles objects of tf2onnx and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from irconv.graph.walk import all_graphs

__all__ = ["to_ir"]

_LARGE = 1024
"""Tensors of at most this many bytes stay in the message."""


def to_ir(graph: Any) -> ir.Model:
    """Make a model of a ``tf2onnx.graph.Graph``; the graph is not usable afterwards.

    A message of protobuf holds 2 GB at most, and making one copies its tensors several times.
    Large tensors are kept beside it and put back into the IR.
    """
    data: dict[str, bytes] = {}
    for node in _constants(graph):
        _take_out(node, data)
    model = ir.serde.deserialize_model(graph.make_model("model"))
    for inside in all_graphs(model):
        for value in inside.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = _put_back(tensor, data)
    return model


def _constants(graph: Any) -> Iterator[Any]:
    for node in graph.get_nodes():
        if node.is_const():
            yield node
        for body in (node.get_body_graphs() or {}).values():
            yield from _constants(body)


def _take_out(node: Any, data: dict[str, bytes]) -> None:
    tensor = node.get_attr("value").t
    if len(tensor.raw_data) <= _LARGE:
        return
    key = str(len(data))
    data[key] = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=key)


def _put_back(tensor: ir.ExternalTensor, data: dict[str, bytes]) -> ir.TensorProtocol:
    dtype = tensor.dtype.numpy()
    array = np.frombuffer(data[str(tensor.location)], dtype).reshape(tensor.shape.numpy())
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)
