"""One step of a recurrent cell, as the graph writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import made_by, operand
from irconv.passes.fusions.recurrent.affine import Affine, Piece, affine
from irconv.passes.fusions.recurrent.moments import Moment
from irconv.runtime.base import Array

__all__ = ["Cell", "Sums", "activated", "sum_of"]


@dataclass(frozen=True)
class Sums:
    """What goes into the gates of one step, in the order of the ONNX operator.

    Attributes:
        inputs: For each gate, the sum that holds the input's part.
        recurrences: For each gate, the sum that holds the state's part; mostly the same sum.
        reset: The state after the reset gate of a GRU, which the last gate multiplies.
    """

    inputs: Sequence[Affine]
    recurrences: Sequence[Affine]
    reset: ir.Value | None = None

    @property
    def after_product(self) -> bool:
        """Whether the reset gate comes after the product (``linear_before_reset``)."""
        return self.inputs[-1] is not self.recurrences[-1]

    def moments(self) -> list[Moment]:
        """Return the matrices that are multiplied, each once, but not the reset state."""
        found: dict[Moment, None] = {}
        for part in (*self.inputs, *self.recurrences):
            found.update(dict.fromkeys(part.moments()))
        return [moment for moment in found if moment.source is not self.reset]

    def weights(self, data: Moment) -> list[list[Piece]]:
        """Return the input's weights for each gate."""
        return [part.pieces(data) for part in self.inputs]

    def recurrent_weights(self, hidden: Moment | None) -> list[list[Piece]]:
        """Return the state's weights for each gate; those of no state are empty."""
        last = hidden if self.reset is None else Moment(self.reset)
        states = [*[hidden] * (len(self.recurrences) - 1), last]
        return [
            [] if state is None else part.pieces(state)
            for part, state in zip(self.recurrences, states, strict=True)
        ]

    def biases(self) -> list[Affine]:
        """Return the sums whose constants are the biases: the gates', and that of the reset."""
        return [*self.inputs, *self.recurrences[-1:]] if self.after_product else [*self.inputs]

    def bias_rows(self) -> list[Array]:
        """Return the biases; see :meth:`biases`."""
        return [part.bias for part in self.biases()]


@dataclass(frozen=True)
class Cell:
    """One step.

    Attributes:
        node: The node that computes the hidden state.
        hidden: The hidden state after the step.
        state: What the next step takes it from: the cell state of an LSTM, ``hidden`` of a GRU.
        previous: ``state`` before the step.
        gates: What goes into the gates' activations, in the order of the ONNX operator.
    """

    node: ir.Node
    hidden: ir.Value
    state: ir.Value
    previous: ir.Value
    gates: Sequence[ir.Value]


def activated(value: ir.Value | None, op_type: str) -> ir.Value | None:
    """Return what an activation is applied to."""
    node = made_by(value, op_type)
    return None if node is None else operand(node, 0)


def sum_of(gate: ir.Value, spared: int = 0) -> Affine:
    """Return what goes into a gate.

    Args:
        gate: The input of its activation.
        spared: How many terms may be something else.

    Raises:
        Keep: If there is something else in it.
    """
    found = affine(gate)
    if found is None:
        raise Keep(f"the gate {gate.name!r} is no sum of products by constant weights")
    if len(found.others) > spared:
        name = found.others[0].name
        raise Keep(
            f"in the gate {gate.name!r}, {name!r} is not known to be a product by constant "
            "weights, or columns of one"
        )
    return found
