"""Folding an inference BatchNormalization into the convolution after it.

A normalization gives each channel i as x'_i = s_i x_i + t_i with s_i = scale_i / sqrt(var_i +
epsilon) and t_i = B_i - s_i mean_i (ONNX operator specification). A convolution of that::

    y_o = sum over i, k of W_oik x'_ik + b_o    W'_oik = W_oik s_i    b'_o = b_o + sum W_oik t_i

is y = W' * x + b' wherever all of W lies on the tensor. On padding x' is 0 and not t, so there must
be none, unless every t is 0. A Conv weight is (M, C/group, ...), so row o of group g reads the
channels from g C/group on. The algebra is done in float64 and cast once to the weight's dtype.
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
from irconv.passes.scales.factor import FLOATS, largest, scaled
from irconv.passes.weights import chunks
from irconv.runtime.base import Array

__all__ = ["FuseBatchnormConv"]

_OLDEST_OPSET = 9
_PARAMETERS = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True)
class _Match:
    """A normalization, the convolution after it, and what the fused weights are made of.

    Attributes:
        factors: s for each weight, of shape (M, C/group, 1, ...).
        bias: b' of each output channel, in the weight's dtype.
    """

    normalization: ir.Node
    convolution: ir.Node
    weight: ir.TensorProtocol
    factors: Array
    bias: Array


@dataclass(frozen=True)
class FuseBatchnormConv(NodeRewrite[_Match]):
    """Fold BatchNormalization into the weights of the Conv that alone reads it.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 2, 4, 4] x) => (float[1, 1, 4, 4] y)
        <float[1, 2, 1, 1] w = {1.0, 2.0}, float[2] scale = {2.0, 1.0},
         float[2] bias = {0.5, 0.0}, float[2] mean = {1.0, 0.0}, float[2] variance = {3.0, 0.0}>
        {
            n = BatchNormalization <epsilon = 1.0> (x, scale, bias, mean, variance)
            y = Conv (n, w)
        }

    After::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[1, 2, 4, 4] x) => (float[1, 1, 4, 4] y)
        <float[1, 2, 1, 1] w_normalized = {1.0, 2.0}, float[1] y_bias = {-0.5}>
        {
            y = Conv (x, w_normalized, y_bias)
        }

    A weight that something else reads too keeps its old tensor for that reader.
    """

    name: ClassVar[str] = "fuse-batchnorm-conv"
    after: ClassVar[tuple[str, ...]] = ("infer-shapes", "fold-constants", "fuse-conv-batchnorm")
    effect: ClassVar[Effect] = "real-arithmetic"

    op_types: ClassVar[frozenset[str]] = frozenset({"BatchNormalization"})
    counted: ClassVar[str] = "fused"

    def match(self, node: ir.Node, place: Place) -> _Match | str | None:
        """Return a normalization with the convolution behind it; see :class:`NodeRewrite`."""
        return _match(node, place.opset)

    def rewrite(self, node: ir.Node, match: _Match, place: Place) -> None:
        """Give the convolution its new weights, and drop the normalization."""
        del node
        _fuse(match, place)


def _match(node: ir.Node, opset: int) -> _Match | str | None:
    if len(node.inputs) != 5:
        return None
    convolution = next(
        (
            user
            for user, index in node.outputs[0].uses()
            if user.op_type == "Conv" and user.domain == "" and index == 0
        ),
        None,
    )
    if convolution is None or len(convolution.inputs) < 2:
        return None
    return _structural_obstacle(node, convolution, opset) or _numbers(node, convolution)


def _structural_obstacle(node: ir.Node, convolution: ir.Node, opset: int) -> str:
    output = node.outputs[0]
    if opset < _OLDEST_OPSET:
        return f"BatchNormalization of opset {opset} has another form; convert the opset first"
    attributes = (*node.attributes.values(), *convolution.attributes.values())
    if any(attribute.is_ref() for attribute in attributes):
        return "an attribute is a parameter of the enclosing function"
    if node.attributes.get_int("training_mode", 0) or any(value.name for value in node.outputs[1:]):
        return "it is in training mode"
    if node.graph is not convolution.graph:
        return "it and the convolution are in different graphs"
    if output.is_graph_output():
        return f"{output.name!r} is also a graph output"
    if len(output.uses()) != 1:
        return f"{output.name!r} has other readers"
    return ""


def _numbers(node: ir.Node, convolution: ir.Node) -> _Match | str:
    """Return the match with its new numbers, or why they cannot be had."""
    weight = constant_tensor(convolution.inputs[1])
    if weight is None or weight.dtype not in FLOATS:
        return "the convolution's weight is not a constant of floats"
    given = convolution.inputs[2] if len(convolution.inputs) > 2 else None
    old_bias = constant_tensor(given)
    if given is not None and old_bias is None:
        return "the convolution's bias is not constant"
    found = [constant_tensor(value) for value in node.inputs[1:]]
    missing = [name for name, tensor in zip(_PARAMETERS, found, strict=True) if tensor is None]
    if missing:
        return f"not constant of its parameters: {', '.join(missing)}"
    scale, shift, mean, variance = (
        tensor.numpy().astype(np.float64).reshape(-1) for tensor in found if tensor is not None
    )
    if not scale.size == shift.size == mean.size == variance.size:
        return "its parameters differ in size"
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    if not np.all(variance + epsilon > 0):
        return "its variance plus epsilon is not positive everywhere"
    factor = scale / np.sqrt(variance + epsilon)
    if not factor.size or not np.isfinite(factor).all():
        return "its scale is empty or not finite"
    rest = shift - factor * mean
    if rest.any() and _pads(convolution):
        return "the convolution pads with 0, and the normalization of 0 is another number"
    groups = convolution.attributes.get_int("group", 1)
    shape = tuple(weight.shape.numpy())
    if len(shape) < 3 or groups < 1 or shape[0] % groups or shape[1] * groups != factor.size:
        return "the convolution's weight does not read one channel for each of its parameters"
    if largest(weight) * max(1.0, float(np.abs(factor).max())) > float(weight.dtype.max):
        return f"the fused weights are not finite in {weight.dtype.name.lower()}"
    bias = np.zeros(shape[0]) if old_bias is None else old_bias.numpy().astype(np.float64)
    if bias.shape != shape[:1]:
        return "the convolution's bias is not one number for each output channel"
    with np.errstate(over="ignore", invalid="ignore"):
        total = bias + _sums(weight, _by_row(rest, groups, shape))
        new_bias = np.asarray(total).astype(weight.numpy().dtype)
    if not np.isfinite(new_bias).all():
        return f"the fused bias is not finite in {weight.dtype.name.lower()}"
    return _Match(node, convolution, weight, _by_row(factor, groups, shape), new_bias)


def _pads(convolution: ir.Node) -> bool:
    mode = convolution.attributes.get_string("auto_pad", "NOTSET")
    if mode != "NOTSET":
        return mode != "VALID"
    return any(convolution.attributes.get_ints("pads", ()))


def _by_row(numbers: Array, groups: int, shape: tuple[int, ...]) -> Array:
    """Return numbers of input channels as (M, C/group, 1, ...)."""
    rows = np.repeat(numbers.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *(1,) * (len(shape) - 2))


def _sums(weight: ir.TensorProtocol, by: Array) -> Array:
    sums = np.zeros(by.shape[0])
    for part, chunk in chunks(weight.numpy()):
        products = chunk.astype(np.float64) * by[part]
        sums[part] = products.reshape(len(products), -1).sum(axis=1)
    return sums


def _fuse(match: _Match, place: Place) -> None:
    node, convolution, weight, factors = (
        match.normalization,
        match.convolution,
        match.weight,
        match.factors,
    )
    old = [*convolution.inputs[1:], *node.inputs[1:]]
    tensor = ir.LazyTensor(
        lambda: ir.Tensor(scaled(weight, factors), dtype=weight.dtype),
        weight.dtype,
        ir.Shape(weight.shape.numpy()),
    )
    bias = ir.Tensor(match.bias, dtype=weight.dtype)
    assert convolution.inputs[1] is not None
    stems = (f"{convolution.inputs[1].name}_normalized", f"{convolution.outputs[0].name}_bias")
    convolution.resize_inputs(3)
    for index, (stem, made) in enumerate(zip(stems, (tensor, bias), strict=True), 1):
        convolution.replace_input_with(index, place.constant(convolution, stem, made))
    convolution.replace_input_with(0, node.inputs[0])
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    for item in dict.fromkeys(old):
        drop_unread(item)
