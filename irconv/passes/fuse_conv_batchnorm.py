"""Folding an inference BatchNormalization into the convolution before it.

With a convolution c = W * x + b and, for each output channel o, a normalization
y_o = scale_o (c_o - mean_o) / sqrt(var_o + epsilon) + B_o (ONNX operator specification)::

    a_o = scale_o / sqrt(var_o + epsilon)      W'_o = a_o W_o      b'_o = a_o (b_o - mean_o) + B_o

gives y = W' * x + b'. A Conv weight is (M, C/group, ...), so channel o is row o. A ConvTranspose
weight is (C, M/group, ...): row c belongs to group g = c // (C/group), and its column j feeds
channel o = g M/group + j. A Gemm is a convolution of one position; its weight is (C, M), or (M, C)
where it is transposed. The algebra is done in float64 and cast once to the weight's dtype.

This is matched by use-def chains and not as an onnxscript rewrite rule. The rule engine records
the values of all Constant nodes even where nothing matches, so that ``modified`` could not tell
the truth; it renames values of the whole model after a match; and it puts no new weights into
local functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.unread import drop_unread
from irconv.passes.base import Effect
from irconv.passes.rewrite import NodeRewrite, Place
from irconv.passes.weights import chunks
from irconv.runtime.base import Array

__all__ = ["FuseConvBatchnorm"]

_CONVOLUTIONS = ("Conv", "ConvTranspose", "Gemm")
_OLDEST_OPSET = 7
_PARAMETERS = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True)
class _Match:
    """A convolution, the normalization after it, and what the fused weights are made of.

    Attributes:
        factor: a of each weight, broadcastable against it.
        bias: b' of each output channel, in the weight's dtype.
    """

    convolution: ir.Node
    normalization: ir.Node
    weight: ir.TensorProtocol
    factor: Array
    bias: Array


@dataclass(frozen=True)
class FuseConvBatchnorm(NodeRewrite[_Match]):
    """Fold BatchNormalization into the weights of a Conv, ConvTranspose or Gemm.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 1, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float[2, 1, 1, 1] w = {1.0, 2.0}, float[2] scale = {2.0, 1.0},
         float[2] bias = {0.5, 0.0}, float[2] mean = {1.0, 0.0}, float[2] variance = {3.0, 0.0}>
        {
            c = Conv (x, w)
            y = BatchNormalization <epsilon = 1.0> (c, scale, bias, mean, variance)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 1, 4, 4] x) => (float[1, 2, 4, 4] y)
        <float[2, 1, 1, 1] w_normalized = {1.0, 2.0}, float[2] y_bias = {-0.5, 0.0}>
        {
            y = Conv (x, w_normalized, y_bias)
        }

    A weight that something else reads too keeps its old tensor for that reader.
    """

    name: ClassVar[str] = "fuse-conv-batchnorm"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "eliminate-identity", "fold-constants")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"BatchNormalization"})
    counted: ClassVar[str] = "fused"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return a normalization with the convolution before it; see :class:`NodeRewrite`."""
        return _match(node, place)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Give the convolution its new weights, and drop the normalization."""
        del node
        _fuse(match, place)


def _match(node: ir.Node, place: Place) -> _Match | str | None:
    if not node.inputs:
        return None
    convolution = None if node.inputs[0] is None else node.inputs[0].producer()
    if convolution is None or convolution.domain != "" or convolution.op_type not in _CONVOLUTIONS:
        return None
    return (
        _structural_obstacle(node, convolution, place.opset)
        or place.editor.blocker(node.outputs[0], convolution.outputs[0])
        or _numbers(node, convolution)
    )


def _structural_obstacle(node: ir.Node, convolution: ir.Node, opset: int) -> str:
    output = convolution.outputs[0]
    if len(node.inputs) != 5 or len(convolution.inputs) < 2:
        return "it or the convolution lacks an input"
    if opset < _OLDEST_OPSET:
        return f"BatchNormalization of opset {opset} has another form; convert the opset first"
    if any(attribute.is_ref() for attribute in (*_attributes(node), *_attributes(convolution))):
        return "an attribute is a parameter of the enclosing function"
    if node.attributes.get_int("training_mode", 0) or any(value.name for value in node.outputs[1:]):
        return "it is in training mode"
    if node.attributes.get_int("spatial", 1) != 1:
        return "it normalizes each position by itself (spatial=0)"
    if node.graph is not convolution.graph:
        return "it and the convolution are in different graphs"
    scales = (convolution.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    if convolution.op_type == "Gemm" and any(scale != 1 for scale in scales):
        return "the Gemm scales by alpha or beta"
    if output.is_graph_output():
        return f"the convolution's output {output.name!r} is also a graph output"
    if len(output.uses()) != 1:
        return f"the convolution's output {output.name!r} has other readers"
    return ""


def _attributes(node: ir.Node) -> tuple[ir.Attr, ...]:
    return tuple(node.attributes.values())


def _numbers(node: ir.Node, convolution: ir.Node) -> _Match | str:
    """Return the match with its new numbers, or why they cannot be had."""
    weight = constant_tensor(convolution.inputs[1])
    if weight is None:
        return "the convolution's weight is not constant"
    with_bias = len(convolution.inputs) > 2 and convolution.inputs[2] is not None
    old_bias = constant_tensor(convolution.inputs[2]) if with_bias else None
    if with_bias and old_bias is None:
        return "the convolution's bias is not constant"
    found = [constant_tensor(value) for value in node.inputs[1:5]]
    missing = [name for name, tensor in zip(_PARAMETERS, found, strict=True) if tensor is None]
    if missing:
        return f"its {' and '.join(missing)} are not constant"
    scale, shift, mean, variance = (
        tensor.numpy().astype(np.float64) for tensor in found if tensor is not None
    )
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    if not np.all(variance + epsilon > 0):
        return "its variance plus epsilon is not positive everywhere"
    factor = scale / np.sqrt(variance + epsilon)
    rows = _row_factors(convolution, weight, factor)
    if rows is None:
        return "the convolution's weight does not have one channel for each of its parameters"
    bias = np.zeros(1) if old_bias is None else old_bias.numpy().astype(np.float64)
    if bias.size not in (1, factor.size):
        return "what the Gemm adds is not one number for each of its parameters"
    bias = bias.reshape(-1)
    dtype = weight.numpy().dtype
    with np.errstate(over="ignore", invalid="ignore"):
        new_bias = np.asarray(factor * (bias - mean) + shift).astype(dtype)
    if not (np.isfinite(new_bias).all() and _stays_finite(weight.numpy(), rows)):
        return f"the fused weights are not finite in {dtype.name}"
    return _Match(convolution, node, weight, rows, new_bias)


def _row_factors(node: ir.Node, weight: ir.TensorProtocol, factor: Array) -> Array | None:
    shape = weight.numpy().shape
    if node.op_type == "Gemm":
        return _column_factors(node, shape, factor)
    if len(shape) < 3:
        return None
    tail = (1,) * (len(shape) - 2)
    if node.op_type == "Conv":
        return factor.reshape(-1, 1, *tail) if shape[0] == factor.size else None
    groups = node.attributes.get_int("group", 1)
    if groups < 1 or shape[0] % groups or shape[1] * groups != factor.size:
        return None
    rows = np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return rows.reshape(*shape[:2], *tail)


def _column_factors(node: ir.Node, shape: tuple[int, ...], factor: Array) -> Array | None:
    """Return the factors of a Gemm's weight: one for each number that it puts out."""
    by_rows = node.attributes.get_int("transB", 0) == 1
    if len(shape) != 2 or shape[0 if by_rows else 1] != factor.size:
        return None
    column = factor.reshape(-1, 1) if by_rows else factor.reshape(1, -1)
    whole: Array = np.broadcast_to(column, shape)
    return whole


def _scaled(weight: ir.TensorProtocol, rows: Array) -> Array:
    source = weight.numpy()
    result = np.empty(source.shape, source.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for part, chunk in chunks(source):
            result[part] = chunk.astype(np.float64) * rows[part]
    return result


def _stays_finite(weight: Array, rows: Array) -> bool:
    """Whether every scaled element is finite, with nothing of the weight's size made.

    Rounding keeps the order of numbers, so the element furthest from zero tells for all that share
    its factor.
    """
    if not weight.size:
        return True
    axes = range(weight.ndim)
    shared = tuple(axis for axis in axes if rows.shape[axis] == 1 or rows.strides[axis] == 0)
    factors = rows[tuple(slice(0, 1) if axis in shared else slice(None) for axis in axes)]
    highest = weight.max(axis=shared, keepdims=True).astype(np.float64)
    lowest = weight.min(axis=shared, keepdims=True).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        products = (np.maximum(highest, -lowest) * factors).astype(weight.dtype)
    return bool(np.isfinite(products).all())


def _fuse(match: _Match, place: Place) -> None:
    node, convolution = match.normalization, match.convolution
    weight, rows = match.weight, match.factor
    old = [*convolution.inputs[1:], *node.inputs[1:]]
    tensor = ir.LazyTensor(
        lambda: ir.Tensor(_scaled(weight, rows)), weight.dtype, ir.Shape(weight.numpy().shape)
    )
    assert convolution.inputs[1] is not None
    weight_name = f"{convolution.inputs[1].name}_normalized"
    new_weight = place.constant(convolution, weight_name, tensor)
    bias = ir.Tensor(match.bias, dtype=weight.dtype)
    new_bias = place.constant(convolution, f"{node.outputs[0].name}_bias", bias)
    convolution.resize_inputs(3)
    convolution.replace_input_with(1, new_weight)
    convolution.replace_input_with(2, new_bias)
    place.editor.redirect(node.outputs[0], convolution.outputs[0])
    place.editor.remove(node)
    place.editor.finish()
    for value in old:
        drop_unread(value)
