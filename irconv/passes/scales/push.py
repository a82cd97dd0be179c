"""Multiplying a value by multiplying constants among what is computed from it.

The same laws as in :mod:`irconv.passes.scales.pull`, followed from a value to its only reader:
W (s x) + b = (s W) x + b.
"""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.constants import is_constant
from irconv.passes.scales.factor import Edit, Factor
from irconv.passes.scales.pull import HOMOGENEOUS, POSITIVE, Plan, is_shared, pull

__all__ = ["push"]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
_PRODUCTS = ("MatMul", "Mul")
_DEEPEST = 12


def push(value: ir.Value, factor: Factor, graph: ir.Graph, depth: int = 0) -> Plan:
    """Return how a number that multiplies ``value`` can be left to what reads it."""
    if value.is_graph_output() or len(value.uses()) != 1:
        return f"{value.name!r} has other readers"
    reader, index = next(iter(value.uses()))
    op_type = reader.op_type
    if not factor.is_scalar or reader.graph is not graph or depth == _DEEPEST:
        return f"{op_type} reads it in another graph, or too far away"
    if reader.domain != "" or any(item.is_ref() for item in reader.attributes.values()):
        return f"{op_type} reads {value.name!r}"
    if op_type in HOMOGENEOUS or (op_type in POSITIVE and factor.is_positive):
        if index != 0 or len([item for item in reader.outputs if item.name]) != 1:
            return f"{op_type} reads {value.name!r} not as its data, or has more outputs"
        return _further(reader, factor, graph, depth)
    if op_type in _WEIGHTED and index == 0:
        return _constant(reader, 1, factor)
    if op_type in _PRODUCTS:
        other = reader.inputs[1 - index]
        if is_constant(other):
            return _constant(reader, 1 - index, factor)
        if other is None:
            return f"{op_type} lacks an input"
        plan = pull(other, factor, reader)
        if isinstance(plan, list) or op_type == "Mul":
            return plan
        return _further(reader, factor, graph, depth)
    if op_type == "Div" and index == 0 and is_constant(reader.inputs[1]):
        return _constant(reader, 1, factor.inverse())
    return f"{value.name!r} is read by {op_type}, which is not linear in it"


def _further(reader: ir.Node, factor: Factor, graph: ir.Graph, depth: int) -> Plan:
    result = reader.outputs[0]
    plan = push(result, factor, graph, depth + 1)
    return plan if isinstance(plan, str) else [result, *plan]


def _constant(node: ir.Node, index: int, factor: Factor) -> Plan:
    value = node.inputs[index]
    if not is_constant(value):
        return f"the weight of {node.op_type} is not constant"
    if is_shared(value):
        assert value is not None
        return f"the weight {value.name!r} has other readers"
    return [Edit(node, index, factor.laid_out())]
