"""What the passes that compress weights share: blocks, and replacing a weight by nodes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.passes.weights import Weight
from irconv.runtime.base import Array

__all__ = ["blocks", "initializer", "obstacle", "put"]

_INT4_MAX = 7


def obstacle(weight: Weight, array: Array) -> str:
    """Return why a weight cannot be compressed, or nothing."""
    if weight.tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
        return "only float32 and float16 are compressed"
    return "" if np.all(np.isfinite(array)) else "it holds values that are not finite"


def blocks(array: Array, axis: int, block: int) -> tuple[ir.TensorProtocol, Array]:
    """Return the int4 values, and the scales with the size along ``axis`` divided by ``block``."""
    import ml_dtypes

    shape = array.shape
    parts = array.astype(np.float64).reshape(*shape[:axis], -1, block, *shape[axis + 1 :])
    exact = np.abs(parts).max(axis=axis + 1) / _INT4_MAX
    tiny = np.finfo(array.dtype).tiny
    scale = np.where(exact < tiny, 1, exact).astype(array.dtype)
    steps = np.rint(parts / np.expand_dims(scale.astype(np.float64), axis + 1))
    values = np.clip(steps, -_INT4_MAX, _INT4_MAX).reshape(shape).astype(ml_dtypes.int4)
    return ir.Tensor(values, dtype=ir.DataType.INT4), scale


def initializer(weight: Weight, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """Add an initializer to the graph of a weight."""
    tensor.name = name
    value = ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.numpy().shape),
        const_value=tensor,
    )
    weight.graph.register_initializer(value)
    return value


def put(weight: Weight, nodes: list[ir.Node], name: str) -> None:
    """Put nodes, whose last yields the weight, in its place."""
    last = nodes[-1]
    output = last.outputs[0]
    output.name = last.name = name
    output.dtype, output.shape = weight.tensor.dtype, ir.Shape(weight.tensor.numpy().shape)
    weight.graph.insert_before(weight.anchor, nodes)
    weight.value.replace_all_uses_with(output)
    producer = weight.value.producer()
    if producer is None:
        del weight.graph.initializers[weight.name]
    else:
        weight.graph.remove(producer, safe=True)
