"""Quantized values that hang together, from QuantizeLinear to DequantizeLinear."""

from __future__ import annotations

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.passes.base import Refusal

__all__ = ["DATA_INPUTS", "QuantizedGroup", "is_operator", "zero_point_of"]

DATA_INPUTS = {
    "Concat": None, "DepthToSpace": 1, "Expand": 1, "Flatten": 1, "Gather": 1,
    "GatherElements": 1, "GatherND": 1, "Identity": 1, "MaxPool": 1, "Reshape": 1, "Slice": 1,
    "SpaceToDepth": 1, "Split": 1, "Squeeze": 1, "Tile": 1, "Transpose": 1, "Unsqueeze": 1,
}  # fmt: skip
"""Operators that commute with adding a number to all data, and how many inputs are data."""


def is_operator(node: ir.Node, op_type: str) -> bool:
    """Return whether ``node`` is the operator ``op_type`` of the default domain."""
    return node.op_type == op_type and node.domain in ("", "ai.onnx")


def zero_point_of(node: ir.Node) -> ir.Value | None:
    """Return the zero point of a QuantizeLinear or DequantizeLinear; None if it is left out."""
    return node.inputs[2] if len(node.inputs) > 2 else None


class QuantizedGroup:
    """Values that must be rewritten together, and the nodes that tie them to floats.

    Attributes:
        values: The quantized values, in the order in which they were found.
        quantizers: The QuantizeLinear and DequantizeLinear nodes at the group's border.
        refusal: Why the group cannot be rewritten; None if it can.
    """

    def __init__(self) -> None:
        self.values: dict[ir.Value, None] = {}
        self.quantizers: dict[ir.Node, None] = {}
        self.refusal: Refusal | None = None

    def grow(self, start: ir.Value) -> None:
        """Collect all values that movers connect with ``start``, and the first obstacle."""
        waiting = [start]
        while waiting:
            value = waiting.pop()
            if value in self.values:
                continue
            self.values[value] = None
            producer = value.producer()
            if value.is_graph_output() or value.is_graph_input():
                self._refuse(producer, f"{value.name!r} is an input or output of a graph")
            elif producer is not None:
                waiting += self._through(producer, value, None)
            elif constant_tensor(value) is None:
                self._refuse(producer, f"{value.name!r} is neither computed nor constant")
            for user, index in value.uses():
                waiting += self._through(user, value, index)

    def _through(self, node: ir.Node, value: ir.Value, index: int | None) -> list[ir.Value]:
        """Return the data operands of ``node``; ``index`` is where it reads ``value``."""
        quantizes = is_operator(node, "QuantizeLinear") and index is None
        if quantizes or (is_operator(node, "DequantizeLinear") and index == 0):
            zero_point = zero_point_of(node)
            if zero_point is not None and constant_tensor(zero_point) is None:
                self._refuse(node, f"zero point {zero_point.name!r} is computed")
            self.quantizers[node] = None
            return []
        if index is None and is_operator(node, "Constant") and constant_tensor(value) is not None:
            return []
        if node.domain not in ("", "ai.onnx") or node.op_type not in DATA_INPUTS:
            if not (index == 2 and node.op_type in ("QuantizeLinear", "DequantizeLinear")):
                self._refuse(node, f"{value.name!r} is used as a number of its own")
            return []
        count = DATA_INPUTS[node.op_type]
        data = [operand for operand in node.inputs[:count] if operand is not None]
        return [*data, *(node.outputs[:1] if node.op_type == "MaxPool" else node.outputs)]

    def _refuse(self, node: ir.Node | None, reason: str) -> None:
        if self.refusal is None:
            name, op_type = (node.name or "", node.op_type) if node is not None else ("", "")
            self.refusal = Refusal(name, op_type, reason)
