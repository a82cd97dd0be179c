"""Multiplying a value by multiplying constants among that which it is computed from.

All rules are the distributive law on the operators' definitions (ONNX operator specifications):
s (W x + b) = (s W) x + s b, s f(x) = f(s x) for what moves elements or adds them up, and
s (a b) = (s a) b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor, is_constant
from irconv.passes.scales.factor import Edit, Factor

__all__ = ["HOMOGENEOUS", "POSITIVE", "conv_rows", "is_shared", "pull"]

Plan = list[Edit | ir.Value] | str
"""What to multiply, and the values that come out otherwise; or the reason why it cannot be."""

HOMOGENEOUS = frozenset(
    {
        "AveragePool", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalAveragePool",
        "Identity", "Neg", "ReduceMean", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Tile",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators f with f(s x) = s f(x) for the first input x."""
POSITIVE = frozenset({"LeakyRelu", "MaxPool", "GlobalMaxPool", "PRelu", "ReduceMax", "Relu"})
"""Operators f with f(s x) = s f(x) for s > 0."""
_DEEPEST = 12
_SHARED_BYTES = 1 << 12


def pull(value: ir.Value, factor: Factor, reader: ir.Node, depth: int = 0) -> Plan:
    """Return how ``value``, which only ``reader`` reads, can be multiplied at its sources."""
    producer, name = value.producer(), value.name
    if producer is None or producer.graph is not reader.graph:
        return f"{name!r} is not computed in this graph"
    if value.is_graph_output():
        return f"{name!r} is also a graph output"
    if len(value.uses()) != 1:
        return f"{name!r} has other readers"
    if depth == _DEEPEST or not factor.fits(value):
        return f"its constant would widen {name!r}" if depth < _DEEPEST else "it is too far"
    if producer.domain != "" or any(item.is_ref() for item in producer.attributes.values()):
        return f"{name!r} is computed by {producer.op_type}"
    rule = _RULES.get(producer.op_type)
    if rule is None or len([item for item in producer.outputs if item.name]) != 1:
        return f"{name!r} is computed by {producer.op_type}, which is not linear"
    plan = rule(producer, factor, depth + 1)
    return plan if isinstance(plan, str) else [value, *plan]


def is_shared(value: ir.Value | None) -> bool:
    """Whether a constant has other readers, so that a changed copy would add to the model."""
    tensor = constant_tensor(value)
    if value is None or tensor is None:
        return False
    read_elsewhere = len(value.uses()) > 1 or value.is_graph_output()
    return read_elsewhere and tensor.nbytes > _SHARED_BYTES


def _from(node: ir.Node, index: int, factor: Factor, depth: int) -> Plan:
    value = node.inputs[index] if index < len(node.inputs) else None
    return "it lacks an input" if value is None else pull(value, factor, node, depth)


def _through(node: ir.Node, factor: Factor, depth: int) -> Plan:
    if not factor.is_scalar:
        return f"its constant has one number for each index of an axis of {node.op_type}"
    if node.op_type in POSITIVE and not factor.is_positive:
        return f"{node.op_type} keeps positive factors only"
    return _from(node, 0, factor, depth)


def _constants(node: ir.Node, by: Mapping[int, np.ndarray]) -> Plan:
    """Return the edits of inputs, those that are absent left out."""
    plan: list[Edit | ir.Value] = []
    for index, array in by.items():
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None:
            continue
        if not is_constant(value):
            return f"{value.name!r} is not constant"
        if is_shared(value):
            return f"the weight {value.name!r} has other readers"
        plan.append(Edit(node, index, array))
    return plan


def _either(node: ir.Node, factor: Factor, depth: int) -> Plan:
    """Mul, and MatMul of two values: one of the operands takes the factor."""
    first = _from(node, 0, factor, depth)
    return first if isinstance(first, list) else _from(node, 1, factor, depth)


def _mul(node: ir.Node, factor: Factor, depth: int) -> Plan:
    for index in (0, 1):
        if is_constant(node.inputs[index]):
            return _constants(node, {index: factor.laid_out()})
    return _either(node, factor, depth)


def _div(node: ir.Node, factor: Factor, depth: int) -> Plan:
    if is_constant(node.inputs[0]):
        return _constants(node, {0: factor.laid_out()})
    if is_constant(node.inputs[1]):
        return _constants(node, {1: factor.inverse().laid_out()})
    return _from(node, 0, factor, depth)


def _add(node: ir.Node, factor: Factor, depth: int) -> Plan:
    constant = next((index for index in (0, 1) if is_constant(node.inputs[index])), None)
    if constant is None:
        return f"{node.outputs[0].name!r} is a sum of two values"
    rest = _from(node, 1 - constant, factor, depth)
    edit = _constants(node, {constant: factor.laid_out()})
    if isinstance(rest, str) or isinstance(edit, str):
        return rest if isinstance(rest, str) else edit
    return [*rest, *edit]


def _matmul(node: ir.Node, factor: Factor, depth: int) -> Plan:
    for index in (1, 0):
        tensor = constant_tensor(node.inputs[index])
        if tensor is None:
            continue
        if not factor.is_scalar and (index == 0 or factor.axis != -1 or len(tensor.shape) < 2):
            return "its constant is not one number for each column of the product"
        return _constants(node, {index: factor.laid_out()})
    return _either(node, factor, depth) if factor.is_scalar else "neither operand is constant"


def _gemm(node: ir.Node, factor: Factor, depth: int) -> Plan:
    del depth
    if not factor.is_along(-1, 2):
        return "its constant is not one number for each column of the product"
    numbers = factor.laid_out()
    transposed = node.attributes.get_int("transB", 0) and not factor.is_scalar
    return _constants(node, {1: numbers.reshape(-1, 1) if transposed else numbers, 2: numbers})


def conv_rows(node: ir.Node, factor: Factor) -> np.ndarray | None:
    """Return the numbers for the weight of a convolution, with one number for each channel."""
    tensor = constant_tensor(node.inputs[1])
    if tensor is None or len(tensor.shape) < 3:
        return None
    shape = tuple(tensor.shape.numpy())
    tail = (1,) * (len(shape) - 2)
    if factor.is_scalar:
        return factor.laid_out()
    if node.op_type == "Conv":
        return factor.numbers.reshape(-1, 1, *tail) if shape[0] == factor.numbers.size else None
    groups = node.attributes.get_int("group", 1)
    if groups < 1 or shape[0] % groups or shape[1] * groups != factor.numbers.size:
        return None
    rows = np.repeat(factor.numbers.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return rows.reshape(*shape[:2], *tail)


def _conv(node: ir.Node, factor: Factor, depth: int) -> Plan:
    del depth
    rows, tensor = conv_rows(node, factor), constant_tensor(node.inputs[1])
    if rows is None or tensor is None:
        return "the convolution's weight is not constant, or of another number of channels"
    if not factor.is_along(1, len(tensor.shape)):
        return "its constant is not one number for each channel"
    return _constants(node, {1: rows, 2: factor.numbers if not factor.is_scalar else rows})


def _layer_norm(node: ir.Node, factor: Factor, depth: int) -> Plan:
    """LayerNormalization and RMSNormalization of the last axis."""
    del depth
    shape = node.outputs[0].shape
    axis = node.attributes.get_int("axis", -1)
    if axis != -1 and (shape is None or axis != len(shape) - 1):
        return "it normalizes over more than the last axis"
    if not factor.is_scalar and factor.axis != -1:
        return "its constant is not along the last axis"
    return _constants(node, {1: factor.laid_out(), 2: factor.laid_out()})


def _channel_norm(node: ir.Node, factor: Factor, depth: int) -> Plan:
    """BatchNormalization and InstanceNormalization: y = scale (…) + B."""
    del depth
    shape = node.outputs[0].shape
    if node.attributes.get_int("training_mode", 0) or shape is None:
        return "it is in training mode, or its rank is unknown"
    if len(shape) < 2 or not factor.is_along(1, len(shape)):
        return "its constant is not one number for each channel"
    numbers = factor.laid_out() if factor.is_scalar else factor.numbers
    return _constants(node, {1: numbers, 2: numbers})


_RULES: Mapping[str, Callable[[ir.Node, Factor, int], Plan]] = {
    **dict.fromkeys(HOMOGENEOUS | POSITIVE, _through),
    "Add": _add,
    "BatchNormalization": _channel_norm,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Div": _div,
    "Gemm": _gemm,
    "InstanceNormalization": _channel_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "Mul": _mul,
    "RMSNormalization": _layer_norm,
    "Sub": _add,
}
