"""Reading QuantizeLinear and DequantizeLinear as OpenVINO's int8 transformations do."""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.constants import constant_tensor

__all__ = ["is_operator", "quantized_sources", "zero_point_of"]

_MOVERS = frozenset(
    {
        "AveragePool", "Clip", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity",
        "MaxPool", "Pad", "Relu", "Reshape", "Resize", "Slice", "SpaceToDepth",
        "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators behind which OpenVINO moves a dequantization."""


def is_operator(node: ir.Node | None, *op_types: str) -> bool:
    """Return whether ``node`` is one of ``op_types`` of the default domain."""
    return node is not None and node.op_type in op_types and node.domain in ("", "ai.onnx")


def zero_point_of(node: ir.Node) -> ir.Value | None:
    """Return the zero point of a QuantizeLinear or DequantizeLinear; None if it is left out."""
    return node.inputs[2] if len(node.inputs) > 2 else None


def quantized_sources(value: ir.Value | None) -> list[ir.Node]:
    """Return the DequantizeLinear nodes of computed data that ``value`` comes from.

    The search goes up through operators behind which OpenVINO moves a dequantization, so what
    is found may reach the readers of ``value`` as integers.
    """
    found: dict[ir.Node, None] = {}
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        current = waiting.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        producer = current.producer()
        if producer is None:
            continue
        if is_operator(producer, "DequantizeLinear"):
            if constant_tensor(producer.inputs[0]) is None:
                found[producer] = None
        elif is_operator(producer, "Concat"):
            waiting += producer.inputs
        elif is_operator(producer, *_MOVERS):
            waiting.append(producer.inputs[0])
    return list(found)
