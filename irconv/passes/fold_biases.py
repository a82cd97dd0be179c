"""Folding of constant summands into the bias of the operator before.

With an operator y = W x + b, or a normalization y = scale (…) + b, adding c to y is adding it to
b (ONNX operator specifications). The algebra is done in float64 and cast once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.scales.factor import FLOATS
from irconv.runtime.base import Array

__all__ = ["FoldBiases"]

_BIAS = 2


@dataclass(frozen=True)
class _Match:
    """The operator before a sum, and its new bias."""

    producer: ir.Node
    dtype: ir.DataType
    bias: Array


@dataclass(frozen=True)
class FoldBiases(NodeRewrite[_Match]):
    """Fold Add and Sub of a constant into the bias of Conv, ConvTranspose, or a normalization.

    The constant is one number, or one for each channel. A Gemm with a constant bias takes one
    number for each column.

    Before::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 1, 4, 4] x) => (float[N, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1.0, 2.0}, float[2] b = {1.0, 2.0},
         float[1, 2, 1, 1] c = {0.5, -2.0}, float[N, 2, 4, 4] a> {
            a = Conv(x, w, b)
            y = Add(c, a)
        }

    After::

        <ir_version: 10, opset_import: ["" : 20]>
        example (float[N, 1, 4, 4] x) => (float[N, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1.0, 2.0}, float[2] y_bias = {1.5, 0.0}> {
            y = Conv(x, w, y_bias)
        }
    """

    name: ClassVar[str] = "fold-biases"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fuse-conv-batchnorm")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"Add", "Sub"})
    oldest_opset: ClassVar[int] = 7
    counted: ClassVar[str] = "folded"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return the operator before a sum, and its new bias; see :class:`NodeRewrite`."""
        del place
        return _match(node)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Give the operator the new bias, and drop the sum."""
        producer, output = match.producer, node.outputs[0]
        old = [*node.inputs, *producer.inputs[_BIAS:]]
        tensor = ir.Tensor(match.bias, dtype=match.dtype)
        bias = place.constant(producer, f"{output.name}_bias", tensor)
        producer.resize_inputs(max(_BIAS + 1, len(producer.inputs)))
        producer.replace_input_with(_BIAS, bias)
        place.editor.replace(output, producer.outputs[0])
        place.editor.remove(node)
        place.editor.finish()
        for value in old:
            if is_constant(value):
                drop_unread(value)


def _match(node: ir.Node) -> _Match | str | None:
    if len(node.inputs) != 2:
        return None
    data, constant = node.inputs
    if node.op_type == "Add" and is_constant(data):
        data, constant = constant, data
    summand = constant_tensor(constant)
    producer = None if data is None else data.producer()
    if summand is None or summand.dtype not in FLOATS or data is None or producer is None:
        return None
    axis = _AXES.get(producer.op_type) if producer.domain == "" else None
    if axis is None or is_constant(data):
        return None
    reason = _obstacle(node, data, producer)
    if reason:
        return reason
    vector = _vector(summand, data, axis)
    if vector is None:
        return "its constant is not one number, or one for each channel"
    return _new_bias(producer, -vector if node.op_type == "Sub" else vector, data, axis)


def _obstacle(node: ir.Node, data: ir.Value, producer: ir.Node) -> str:
    if producer.graph is not node.graph or data.is_graph_output() or len(data.uses()) != 1:
        return f"{data.name!r} has other readers"
    if any(value.name for value in producer.outputs[1:]):
        return f"{producer.op_type} has further outputs"
    if any(item.is_ref() for item in producer.attributes.values()):
        return f"an attribute of {producer.op_type} is a parameter of the enclosing function"
    if producer.attributes.get_int("training_mode", 0):
        return "the normalization is in training mode"
    return ""


def _vector(summand: ir.TensorProtocol, data: ir.Value, axis: int) -> Array | None:
    """Return the summand as one number for each index of ``axis``, or as a single number."""
    shape, dims = tuple(summand.shape.numpy()), data.shape
    if dims is None or len(shape) > len(dims) or len(dims) <= axis:
        return None
    numbers = summand.numpy().astype(np.float64)
    if not np.isfinite(numbers).all():
        return None
    if summand.size == 1:
        return numbers.reshape(1)
    place = axis if axis < 0 else axis - len(dims)
    if -place > len(shape) or shape[place] != summand.size or dims[place] != summand.size:
        return None
    return numbers.reshape(-1)


def _new_bias(producer: ir.Node, vector: Array, data: ir.Value, axis: int) -> _Match | str:
    old = producer.inputs[_BIAS] if len(producer.inputs) > _BIAS else None
    tensor = constant_tensor(old)
    if old is not None and tensor is None:
        return f"the bias {old.name!r} is not constant"
    if producer.op_type == "Gemm" and producer.attributes.get_float("beta", 1.0) != 1:
        return "the Gemm scales what it adds"
    if producer.op_type == "LayerNormalization" and not _is_of_last_axis(producer, data):
        return "it normalizes over more than the last axis"
    width = data.shape[axis] if data.shape is not None else None
    dtype = data.dtype if tensor is None else tensor.dtype
    if not isinstance(width, int) or dtype is None:
        return f"the number of channels of {data.name!r} is unknown"
    base: Array = np.zeros(width) if tensor is None else tensor.numpy().astype(np.float64)
    if producer.op_type == "Gemm" and base.size not in (1, width):
        return "the Gemm adds a whole matrix"
    with np.errstate(over="ignore"):
        bias = np.broadcast_to(base.reshape(-1) + vector, (width,)).astype(dtype.numpy())
    if not np.isfinite(bias).all():
        return f"the new bias is not finite in {dtype}"
    return _Match(producer, dtype, bias)


def _is_of_last_axis(node: ir.Node, data: ir.Value) -> bool:
    axis = node.attributes.get_int("axis", -1)
    return axis == -1 or (data.shape is not None and axis == len(data.shape) - 1)


_AXES: Mapping[str, int] = {
    "BatchNormalization": 1,
    "Conv": 1,
    "ConvTranspose": 1,
    "Gemm": -1,
    "InstanceNormalization": 1,
    "LayerNormalization": -1,
}
"""For each operator whose third input is its bias: the axis that this runs along."""
