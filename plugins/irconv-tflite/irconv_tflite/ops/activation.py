"""Activation functions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import float_attribute, given, text_attribute
from irconv_tflite.ops.elementwise import binary, magnitude
from irconv_tflite.ops.kinds import FLOAT, NUMBERS, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits

__all__ = ["sigmoid"]

_BOUNDED = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1", (0.0, 1.0): "RELU_0_TO_1"}
_ROOT_HALF = np.float32(np.sqrt(0.5))


def _float(graph: GraphWriter, node: ir.Node, index: int = 0) -> Tensor:
    value = node.inputs[index]
    return graph.read(value, compute_dtype(graph.dtype(value), FLOAT))


@emits("Relu")
def relu(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Relu: RELU; MAXIMUM with zero for integers."""
    dtype = graph.dtype(node.inputs[0])
    kind = compute_dtype(dtype, NUMBERS)
    x = graph.read(node.inputs[0], kind)
    if kind == "float32":
        result = graph.op("RELU", [x], x.shape)
    else:
        result = binary(graph, "MAXIMUM", x, graph.constant(np.zeros((), kind)))
    graph.write(node.outputs[0], result)


@emits("Clip")
def clip(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Clip: RELU6 and its like for known bounds; MAXIMUM, then MINIMUM, otherwise."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    x = graph.read(node.inputs[0], kind)
    bounds = [given(node, 1), given(node, 2)]
    known = [None if value is None else graph.array(value) for value in bounds]
    fixed = tuple(None if array is None else float(array.reshape(-1)[0]) for array in known)
    if kind == "float32" and fixed in _BOUNDED:
        graph.write(node.outputs[0], graph.op(_BOUNDED[fixed], [x], x.shape))
        return
    for value, code in zip(bounds, ("MAXIMUM", "MINIMUM"), strict=True):
        if value is not None:
            bound = graph.read(value, kind)
            x = graph.op(code, [x, bound], x.shape)
    graph.write(node.outputs[0], x)


@emits("LeakyRelu")
def leaky_relu(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX LeakyRelu: LEAKY_RELU."""
    x = _float(graph, node)
    alpha = float_attribute(node, "alpha", 0.01)
    graph.write(node.outputs[0], graph.op("LEAKY_RELU", [x], x.shape, alpha=alpha))


@emits("PRelu")
def prelu(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX PRelu: max(x, 0) + slope * min(x, 0), since PRELU broadcasts in NHWC only."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    x, slope = (graph.read(value, kind) for value in node.inputs)
    zero = graph.constant(np.zeros((), kind))
    below = binary(graph, "MUL", slope, binary(graph, "MINIMUM", x, zero))
    graph.write(node.outputs[0], binary(graph, "ADD", binary(graph, "MAXIMUM", x, zero), below))


@emits("Sigmoid")
def sigmoid_function(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Sigmoid: LOGISTIC."""
    graph.write(node.outputs[0], sigmoid(graph, _float(graph, node)))


def sigmoid(graph: GraphWriter, x: Tensor) -> Tensor:
    """Return the logistic function of a float32 tensor."""
    return graph.op("LOGISTIC", [x], x.shape)


@emits("Tanh")
def tanh(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Tanh: TANH."""
    x = _float(graph, node)
    graph.write(node.outputs[0], graph.op("TANH", [x], x.shape))


@emits("Swish")
def swish(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Swish: x * LOGISTIC(alpha x)."""
    x = _float(graph, node)
    alpha = float_attribute(node, "alpha", 1.0)
    scaled = x if alpha == 1.0 else binary(graph, "MUL", x, graph.constant(np.float32(alpha)))
    graph.write(node.outputs[0], binary(graph, "MUL", x, sigmoid(graph, scaled)))


@emits("Elu", "Selu", "Celu")
def exponential_unit(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Elu, Selu, Celu: scale * (max(x, 0) + alpha * (exp(min(x / width, 0)) - 1)).

    The kernel ELU computes exp(x) - 1 for small x without loss, and takes alpha = 1 alone:
    ELU(min(x, 0)) gives the part below zero.
    """
    x = _float(graph, node)
    alpha = float_attribute(node, "alpha", 1.67326319217681884765625 if _is(node, "Selu") else 1.0)
    scale = float_attribute(node, "gamma", 1.05070102214813232421875) if _is(node, "Selu") else 1.0
    width = alpha if _is(node, "Celu") else 1.0
    zero = graph.constant(np.float32(0))
    below = binary(graph, "MINIMUM", x, zero)
    if width != 1.0:
        below = binary(graph, "DIV", below, graph.constant(np.float32(width)))
    below = graph.op("ELU", [below], x.shape)
    below = binary(graph, "MUL", below, graph.constant(np.float32(alpha * scale)))
    above = graph.op("RELU", [x], x.shape)
    if scale != 1.0:
        above = binary(graph, "MUL", above, graph.constant(np.float32(scale)))
    graph.write(node.outputs[0], binary(graph, "ADD", above, below))


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type


@emits("HardSigmoid")
def hard_sigmoid(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX HardSigmoid: alpha x + beta between 0 and 1."""
    x = _float(graph, node)
    alpha, beta = float_attribute(node, "alpha", 0.2), float_attribute(node, "beta", 0.5)
    graph.write(node.outputs[0], _hard_sigmoid(graph, x, alpha, beta))


def _hard_sigmoid(graph: GraphWriter, x: Tensor, alpha: float, beta: float) -> Tensor:
    line = binary(graph, "MUL", x, graph.constant(np.float32(alpha)))
    line = binary(graph, "ADD", line, graph.constant(np.float32(beta)))
    return graph.op("RELU_0_TO_1", [line], x.shape)


@emits("HardSwish")
def hard_swish(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX HardSwish: HARD_SWISH."""
    x = _float(graph, node)
    graph.write(node.outputs[0], graph.op("HARD_SWISH", [x], x.shape))


@emits("ThresholdedRelu")
def thresholded_relu(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX ThresholdedRelu: x where x > alpha, else 0."""
    x = _float(graph, node)
    alpha = graph.constant(np.float32(float_attribute(node, "alpha", 1.0)))
    above = binary(graph, "GREATER", x, alpha, "bool")
    zero = graph.constant(np.float32(0))
    graph.write(node.outputs[0], graph.op("SELECT_V2", [above, x, zero], x.shape, "float32"))


@emits("Shrink")
def shrink(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Shrink: x + bias below -lambd, x - bias above lambd, else 0."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    x = graph.read(node.inputs[0], "float32")
    edge = np.float32(float_attribute(node, "lambd", 0.5))
    bias = graph.constant(np.float32(float_attribute(node, "bias", 0.0)))
    zero = graph.constant(np.float32(0))
    above = binary(graph, "GREATER", x, graph.constant(edge), "bool")
    below = binary(graph, "LESS", x, graph.constant(-edge), "bool")
    result = graph.op("SELECT_V2", [above, binary(graph, "SUB", x, bias), zero], x.shape, "float32")
    shifted = binary(graph, "ADD", x, bias)
    graph.write(
        node.outputs[0], graph.op("SELECT_V2", [below, shifted, result], x.shape, "float32")
    )


@emits("Softplus")
def softplus(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Softplus: max(x, 0) + log(1 + exp(-|x|)), which does not overflow."""
    graph.write(node.outputs[0], _softplus(graph, _float(graph, node)))


def _softplus(graph: GraphWriter, x: Tensor) -> Tensor:
    folded = graph.op("NEG", [magnitude(graph, x)], x.shape)
    rest = _log_one_plus(graph, graph.op("EXP", [folded], x.shape))
    return binary(graph, "ADD", graph.op("RELU", [x], x.shape), rest)


def _log_one_plus(graph: GraphWriter, u: Tensor) -> Tensor:
    """Return log(1 + u) for u between 0 and 1, without losing the digits of a small u.

    LiteRT's LOG errs by half a unit of 1 near 1, so below 0.01 the first terms of the series
    u - u^2 / 2 + u^3 / 3 stand in, which are off by less than u^3 / 4 of the result.
    """
    third, half, one = (graph.constant(np.float32(item)) for item in (1 / 3, 0.5, 1))
    inner = binary(graph, "SUB", half, binary(graph, "MUL", u, third))
    outer = binary(graph, "SUB", one, binary(graph, "MUL", u, inner))
    series = binary(graph, "MUL", u, outer)
    is_small = binary(graph, "LESS", u, graph.constant(np.float32(0.01)), "bool")
    logarithm = graph.op("LOG", [binary(graph, "ADD", u, one)], u.shape)
    return graph.op("SELECT_V2", [is_small, series, logarithm], u.shape, u.dtype)


@emits("Mish")
def mish(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Mish: x * tanh(log(1 + exp(x))).

    With n = exp(x) (exp(x) + 2), the tangent is n / (n + 2), which loses nothing near zero; above
    20 it is 1 in float32, and x is kept below that so that the exponential does not overflow.
    """
    x = _float(graph, node)
    bounded = binary(graph, "MINIMUM", x, graph.constant(np.float32(20)))
    two = graph.constant(np.float32(2))
    power = graph.op("EXP", [bounded], x.shape)
    numerator = binary(graph, "MUL", power, binary(graph, "ADD", power, two))
    gate = binary(graph, "DIV", numerator, binary(graph, "ADD", numerator, two))
    graph.write(node.outputs[0], binary(graph, "MUL", x, gate))


@emits("Softsign")
def softsign(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Softsign: x / (1 + |x|)."""
    x = _float(graph, node)
    divisor = binary(graph, "ADD", magnitude(graph, x), graph.constant(np.float32(1)))
    graph.write(node.outputs[0], binary(graph, "DIV", x, divisor))


@emits("Gelu")
def gelu(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Gelu: GELU, exact or by tanh."""
    x = _float(graph, node)
    approximate = text_attribute(node, "approximate", "none") == "tanh"
    graph.write(node.outputs[0], graph.op("GELU", [x], x.shape, approximate=approximate))


@emits("Erf")
def erf(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Erf, from GELU.

    gelu(z) is z (1 + erf(z / sqrt 2)) / 2. With z = x sqrt 2, erf(x) is (2 gelu(z) - z) / z; at 0
    the divisor is replaced by 1. Beyond +-10 erf is +-1 in float32, and z is kept within that so
    that infinities do no harm.
    """
    x = _float(graph, node)
    z = binary(graph, "DIV", x, graph.constant(_ROOT_HALF))
    z = binary(graph, "MINIMUM", z, graph.constant(np.float32(10)))
    z = binary(graph, "MAXIMUM", z, graph.constant(np.float32(-10)))
    graph.write(node.outputs[0], _erf_of_scaled(graph, z))


def _erf_of_scaled(graph: GraphWriter, z: Tensor) -> Tensor:
    activated = graph.op("GELU", [z], z.shape, approximate=False)
    doubled = binary(graph, "ADD", activated, activated)
    rest = binary(graph, "SUB", doubled, z)
    zero, one = graph.constant(np.float32(0)), graph.constant(np.float32(1))
    at_zero = binary(graph, "EQUAL", z, zero, "bool")
    divisor = graph.op("SELECT_V2", [at_zero, one, z], z.shape, "float32")
    return binary(graph, "DIV", rest, divisor)
