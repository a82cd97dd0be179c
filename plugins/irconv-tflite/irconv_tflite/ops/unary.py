"""Functions of one operand, element by element."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given
from irconv_tflite.ops.elementwise import binary, magnitude
from irconv_tflite.ops.kinds import FLOAT, NUMBERS, compute_dtype, require_no_uint64
from irconv_tflite.ops.registry import emits
from irconv_tflite.ops.shapes import shape_of

__all__: list[str] = []

_FLOAT_CODES = {
    "Sqrt": "SQRT", "Exp": "EXP", "Log": "LOG", "Sin": "SIN", "Cos": "COS", "Floor": "FLOOR",
    "Ceil": "CEIL", "Round": "ROUND",
}  # fmt: skip


@emits(*_FLOAT_CODES)
def float_function(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Sqrt, Exp, Log, Sin, Cos, Floor, Ceil, Round: the operators of the same names."""
    x = _float(graph, node)
    graph.write(node.outputs[0], graph.op(_FLOAT_CODES[node.op_type], [x], x.shape))


def _float(graph: GraphWriter, node: ir.Node) -> Tensor:
    return graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), FLOAT))


@emits("Abs")
def absolute(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Abs: ABS; the maximum of x and -x for int64; nothing for unsigned integers."""
    dtype = graph.dtype(node.inputs[0])
    if dtype.startswith("uint"):
        identity(graph, node)
        return
    x = graph.read(node.inputs[0], compute_dtype(dtype, NUMBERS))
    graph.write(node.outputs[0], magnitude(graph, x))


@emits("Neg")
def negative(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Neg: NEG."""
    x = graph.read(node.inputs[0], compute_dtype(graph.dtype(node.inputs[0]), NUMBERS))
    graph.write(node.outputs[0], graph.op("NEG", [x], x.shape))


@emits("Reciprocal")
def reciprocal(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Reciprocal: DIV of one."""
    x = _float(graph, node)
    graph.write(node.outputs[0], binary(graph, "DIV", graph.constant(np.float32(1)), x))


@emits("Sign")
def sign(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Sign: SIGN; (x > 0) - (x < 0) for int64."""
    dtype = graph.dtype(node.inputs[0])
    require_no_uint64(dtype)
    kind = compute_dtype(dtype, NUMBERS)
    x = graph.read(node.inputs[0], kind)
    if kind != "int64":
        graph.write(node.outputs[0], graph.op("SIGN", [x], x.shape))
        return
    zero = graph.constant(np.int64(0))
    above, below = (
        graph.cast(binary(graph, code, x, zero, "bool"), "int64") for code in ("GREATER", "LESS")
    )
    graph.write(node.outputs[0], binary(graph, "SUB", above, below))


@emits("Tan")
def tangent(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Tan: sine by cosine."""
    x = _float(graph, node)
    sine, cosine = (graph.op(code, [x], x.shape) for code in ("SIN", "COS"))
    graph.write(node.outputs[0], binary(graph, "DIV", sine, cosine))


@emits("Sinh", "Cosh")
def hyperbolic(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Sinh, Cosh: (exp(x) -+ exp(-x)) / 2."""
    x = _float(graph, node)
    up = graph.op("EXP", [x], x.shape)
    down = graph.op("EXP", [graph.op("NEG", [x], x.shape)], x.shape)
    both = binary(graph, "SUB" if node.op_type == "Sinh" else "ADD", up, down)
    graph.write(node.outputs[0], binary(graph, "MUL", both, graph.constant(np.float32(0.5))))


@emits("Asinh", "Acosh")
def inverse_hyperbolic(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Acosh: log(x + sqrt(x^2 - 1)); Asinh: sign(x) log(|x| + sqrt(x^2 + 1))."""
    x = _float(graph, node)
    size = magnitude(graph, x) if node.op_type == "Asinh" else x
    square = binary(graph, "MUL", x, x)
    one = graph.constant(np.float32(1))
    shifted = binary(graph, "ADD" if node.op_type == "Asinh" else "SUB", square, one)
    root = graph.op("SQRT", [shifted], x.shape)
    result = graph.op("LOG", [binary(graph, "ADD", size, root)], x.shape)
    if node.op_type == "Asinh":
        result = binary(graph, "MUL", result, graph.op("SIGN", [x], x.shape))
    graph.write(node.outputs[0], result)


@emits("Atanh")
def inverse_hyperbolic_tangent(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Atanh: log((1 + x) / (1 - x)) / 2."""
    x = _float(graph, node)
    one = graph.constant(np.float32(1))
    ratio = binary(graph, "DIV", binary(graph, "ADD", one, x), binary(graph, "SUB", one, x))
    half = graph.constant(np.float32(0.5))
    graph.write(node.outputs[0], binary(graph, "MUL", graph.op("LOG", [ratio], x.shape), half))


@emits("Atan", "Asin", "Acos")
def inverse_trigonometric(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Atan: ATAN2(x, 1); Asin: ATAN2(x, sqrt((1-x)(1+x))); Acos with the two exchanged."""
    x = _float(graph, node)
    one = graph.constant(np.float32(1))
    if node.op_type == "Atan":
        # ATAN2 does not broadcast; x * 0 + 1 would be NaN for infinities.
        other = graph.op("EXP", [graph.op("ZEROS_LIKE", [x], x.shape)], x.shape)
        graph.write(node.outputs[0], graph.op("ATAN2", [x, other], x.shape))
        return
    product = binary(graph, "MUL", binary(graph, "SUB", one, x), binary(graph, "ADD", one, x))
    root = graph.op("SQRT", [product], x.shape)
    operands = [x, root] if node.op_type == "Asin" else [root, x]
    graph.write(node.outputs[0], graph.op("ATAN2", operands, x.shape))


@emits("Identity")
def identity(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Identity: the same tensor."""
    graph.write(node.outputs[0], graph.read(node.inputs[0]))


@emits("Cast")
def cast(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Cast: CAST."""
    source, target = graph.dtype(node.inputs[0]), graph.dtype(node.outputs[0])
    if source == "uint64" and not target.startswith(("int", "uint")):
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            f"LiteRT does not convert uint64 to {target}",
            "convert it from int64",
        )
    graph.write(node.outputs[0], graph.read(node.inputs[0], target))


@emits("CastLike")
def cast_like(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX CastLike: as Cast."""
    cast(graph, node)


@emits("Dropout")
def dropout(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX Dropout for inference: the same tensor, and a mask of ones.

    A ratio of 0 drops nothing in training either.
    """
    training = given(node, 2)
    if training is not None:
        mode, ratio = graph.array(training), given(node, 1)
        rate = np.float32(0.5) if ratio is None else graph.array(ratio)
        keeps = rate is not None and not rate.any()
        if not keeps and (mode is None or mode.any()):
            raise RefusalError(
                "RANDOM", "TFLite does not drop at random", "export the model for inference"
            )
    x = graph.read(node.inputs[0])
    graph.write(node.outputs[0], x)
    if len(node.outputs) > 1 and node.outputs[1].name:
        true = graph.constant(np.array(True))
        graph.write(node.outputs[1], graph.op("FILL", [shape_of(graph, x), true], x.shape, "bool"))
