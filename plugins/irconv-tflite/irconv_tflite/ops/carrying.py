"""Moving data of dtypes that a kernel does not know, by their bits."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from irconv.runtime.values import numpy_dtype
from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.writer import GraphWriter

__all__ = ["MOVED", "carry", "restore"]

MOVED = ("float32", "int64", "int32", "int16", "int8", "uint8")
"""Dtypes that the kernels which move data know, nearly all of them."""

_SAME_WIDTH = {
    "float64": "int64",
    "uint64": "int64",
    "uint32": "int32",
    "float32": "int32",
    "float16": "int16",
    "bfloat16": "int16",
    "uint16": "int16",
}


def carry(graph: GraphWriter, value: ir.Value | None, taken: Collection[str] = MOVED) -> Tensor:
    """Return a value in a dtype that a kernel takes, without changing a bit of it.

    Args:
        graph: Where to add operators.
        value: The value.
        taken: Dtypes that the kernel takes; int16, int32, int64 and uint8 are among them.
    """
    tensor = graph.read(value)
    if tensor.dtype in taken:
        return tensor
    if tensor.dtype == "bool":
        return graph.cast(tensor, "uint8")
    return reinterpret(graph, tensor, _SAME_WIDTH[tensor.dtype])


def restore(graph: GraphWriter, value: ir.Value, tensor: Tensor) -> None:
    """Write the result of moving data that :func:`carry` brought into another dtype."""
    dtype = graph.dtype(value)
    if dtype not in ("bool", tensor.dtype):
        tensor = reinterpret(graph, tensor, dtype)
    graph.write(value, tensor)


def reinterpret(graph: GraphWriter, tensor: Tensor, dtype: str) -> Tensor:
    """Return a tensor whose bits are read as another dtype of the same width."""
    constant = tensor.constant
    if constant is None:
        return graph.op("BITCAST", [tensor], tensor.shape, dtype)
    wanted = numpy_dtype(dtype)
    shape = tuple(dim or 0 for dim in tensor.shape or ())
    return graph.deferred(
        lambda: constant.load().reshape(-1).view(wanted).reshape(shape), dtype, shape, tensor.name
    )
