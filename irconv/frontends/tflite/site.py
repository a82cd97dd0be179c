"""One operator where it stands: the handle that a converter works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.frontends.tflite.edges import Edge, last_to_first
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.schema import ACTIVATIONS

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.model import Operator
    from irconv.frontends.tflite.scope import Scope
    from irconv.runtime.base import Array

__all__ = ["Site"]


class Site:
    """An operator of a graph that is converted.

    Args:
        scope: The graph.
        operator: The operator.

    Attributes:
        scope: The graph.
        operator: The operator.
        nodes: Where nodes are added.
    """

    def __init__(self, scope: Scope, operator: Operator) -> None:
        self.scope = scope
        self.operator = operator
        self.nodes = scope.nodes

    @property
    def code(self) -> str:
        """Name of the operator."""
        return self.operator.code

    def option(self, name: str, default: Any = 0) -> Any:
        """Return an option; see :meth:`irconv.frontends.tflite.model.Operator.option`."""
        return self.operator.option(name, default)

    # Operands

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.operator.inputs) and self.operator.inputs[index] >= 0

    def input(self, index: int) -> Edge:
        """Return an input.

        Raises:
            RefusalError: If it is left out.
        """
        if not self.has(index):
            raise RefusalError(f"input {index} is left out")
        return self.scope.edges[self.operator.inputs[index]]

    def output(self, index: int = 0) -> Edge:
        """Return an output.

        Raises:
            RefusalError: If there is none.
        """
        if index >= len(self.operator.outputs):
            raise RefusalError(f"it has no output {index}")
        return self.scope.edges[self.operator.outputs[index]]

    @property
    def inputs(self) -> list[Edge]:
        """The inputs that are given."""
        return [self.scope.edges[index] for index in self.operator.inputs if index >= 0]

    @property
    def outputs(self) -> list[Edge]:
        """All outputs."""
        return [self.scope.edges[index] for index in self.operator.outputs]

    def constant(self, index: int) -> Array | None:
        """Return a constant input as it is stored, or None where it is computed."""
        edge = self.input(index)
        return edge.array() if edge.is_constant else None

    def ints(self, index: int) -> list[int] | None:
        """Return the items of a constant integer input, or None where it is computed."""
        array = self.constant(index)
        return None if array is None else [int(item) for item in np.asarray(array).reshape(-1)]

    def fixed_ints(self, index: int, what: str) -> list[int]:
        """Return the items of an integer input.

        Raises:
            RefusalError: If it is computed.
        """
        items = self.ints(index)
        if items is None:
            raise RefusalError(
                f"{what} is computed at run time", "convert the model with static input shapes"
            )
        return items

    def int64(self, index: int) -> ir.Value:
        """Return an integer input as int64."""
        items = self.constant(index)
        if items is not None:
            return self.nodes.constant(np.asarray(items).astype(np.int64))
        return self.nodes.cast(self.input(index).raw(), "int64")

    # Layout

    def follows_first(self, *edges: Edge) -> bool:
        """Whether an operator on these operands and outputs is better done channels first."""
        images = [edge for edge in edges if not edge.is_constant and edge.may_be_first]
        return any(edge.is_first for edge in images)

    def operand(self, edge: Edge, rank: int, *, first: bool, raw: bool = False) -> ir.Value:
        """Return an operand that is broadcast to ``rank`` dimensions, in the layout asked for."""
        read = edge.raw if raw else edge.real
        if not first or edge.rank == 0:
            return read()
        if edge.rank == rank:
            return read(first=True)
        missing = rank - edge.rank
        if edge.is_constant and not raw:
            shape = [1] * missing + [size or 0 for size in edge.shape]
            return edge.weight(last_to_first(rank), shape)
        value = self.nodes.unsqueeze(read(), *range(missing))
        return self.nodes.transpose(value, last_to_first(rank))

    def carries(self, *edges: Edge) -> bool:
        """Whether the output's integers are those of the operands, so that they may be moved."""
        return all(edge.quantization == self.output().quantization for edge in edges)

    # Results

    def write(self, value: ir.Value, index: int = 0, *, first: bool = False) -> None:
        """Bind an output's real numbers, after the activation that the operator has fused."""
        self.output(index).set_real(self.activated(value), first=first)

    def bind(self, value: ir.Value, index: int = 0, *, raw: bool, first: bool = False) -> None:
        """Bind an output in its own dtype, or its real numbers."""
        if raw:
            self.output(index).set_raw(value, first=first)
        else:
            self.output(index).set_real(value, first=first)

    def activated(self, value: ir.Value) -> ir.Value:
        """Return a value after the activation that the operator has fused."""
        number = self.option("fused_activation_function")
        name = ACTIVATIONS[number] if 0 <= number < len(ACTIVATIONS) else str(number)
        nodes = self.nodes
        if name == "NONE":
            return value
        if name == "RELU":
            return nodes.op("Relu", value)
        if name in ("RELU6", "RELU_N1_TO_1"):
            low, high = (0.0, 6.0) if name == "RELU6" else (-1.0, 1.0)
            return nodes.op(
                "Clip", value, nodes.constant(low, "float32"), nodes.constant(high, "float32")
            )
        if name == "TANH":
            return nodes.op("Tanh", value)
        raise RefusalError(f"its fused activation is {name}")
