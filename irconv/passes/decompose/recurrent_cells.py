"""One step of RNN, GRU and LSTM, by the equations of their ONNX sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv.passes.decompose.activations import Activation
from irconv.passes.decompose.block import Block

__all__ = ["CELLS", "Cell", "Weights"]

Step = Callable[["Cell", Block, ir.Value, Sequence[ir.Value]], list[ir.Value]]


@dataclass(frozen=True)
class Weights:
    """The weights of one direction, H being the hidden size and G the number of gates.

    Attributes:
        recurrence: Tensor [H, G * H].
        bias: What is added to the gates inside the recurrence, [G * H]; None for nothing.
        peepholes: Tensors [H] for the input, output and forget gates; empty for none.
    """

    recurrence: ir.Value
    bias: ir.Value | None
    peepholes: Sequence[ir.Value]


@dataclass(frozen=True)
class Cell:
    """A cell of one direction.

    Attributes:
        op_type: RNN, GRU or LSTM.
        hidden: Hidden size.
        weights: Its weights.
        activations: Its activations.
        clip: Bound of what goes into the gates' activations; 0 for none.
        flag: ``linear_before_reset`` of a GRU, ``input_forget`` of an LSTM.
    """

    op_type: str
    hidden: int
    weights: Weights
    activations: Sequence[Activation]
    clip: float
    flag: bool

    def step(self, block: Block, gates: ir.Value, state: Sequence[ir.Value]) -> list[ir.Value]:
        """Return the next state, the hidden one first.

        Args:
            block: Where nodes are added.
            gates: The input's part of the gates, [batch, G * H].
            state: The state before.
        """
        return CELLS[self.op_type].step(self, block, gates, state)

    def active(self, block: Block, index: int, value: ir.Value) -> ir.Value:
        """Apply an activation to a value, which is clipped first."""
        if self.clip:
            dtype = block.dtype(value)
            bounds = (block.scalar(-self.clip, dtype), block.scalar(self.clip, dtype))
            value = block.op("Clip", value, *bounds)
        return self.activations[index](block, value)

    def split(self, block: Block, value: ir.Value) -> Sequence[ir.Value]:
        """Split the gates along the last axis."""
        count = CELLS[self.op_type].gates
        sizes = [self.hidden] * count
        return block.ops("Split", value, sizes, outputs=count, axis=-1)


def _recurrent(cell: Cell, block: Block, hidden: ir.Value) -> ir.Value:
    product = block.op("MatMul", hidden, cell.weights.recurrence)
    bias = cell.weights.bias
    return product if bias is None else block.op("Add", product, bias)


def _rnn(cell: Cell, block: Block, gates: ir.Value, state: Sequence[ir.Value]) -> list[ir.Value]:
    """ONNX RNN: Ht = f(Xt*(Wi^T) + Ht-1*(Ri^T) + Wbi + Rbi)."""
    total = block.op("Add", gates, _recurrent(cell, block, state[0]))
    return [cell.active(block, 0, total)]


def _gru(cell: Cell, block: Block, gates: ir.Value, state: Sequence[ir.Value]) -> list[ir.Value]:
    """ONNX GRU, gates in the order z, r, h: Ht = (1 - zt) (.) ht + zt (.) Ht-1."""
    hidden = state[0]
    xz, xr, xh = cell.split(block, gates)
    if cell.flag:
        hz, hr, hh = cell.split(block, _recurrent(cell, block, hidden))
        r = cell.active(block, 0, block.op("Add", xr, hr))
        inner = block.op("Mul", r, hh)
    else:
        size = cell.hidden
        weight = cell.weights.recurrence
        bias = cell.weights.bias
        both = block.op("MatMul", hidden, block.op("Slice", weight, [0], [2 * size], [1]))
        if bias is not None:
            both = block.op("Add", both, block.op("Slice", bias, [0], [2 * size], [0]))
        hz, hr = block.ops("Split", both, [size, size], outputs=2, axis=-1)
        r = cell.active(block, 0, block.op("Add", xr, hr))
        last = block.op("Slice", weight, [2 * size], [3 * size], [1])
        inner = block.op("MatMul", block.op("Mul", r, hidden), last)
        if bias is not None:
            inner = block.op("Add", inner, block.op("Slice", bias, [2 * size], [3 * size], [0]))
    z = cell.active(block, 0, block.op("Add", xz, hz))
    fresh = cell.active(block, 1, block.op("Add", xh, inner))
    kept = block.op("Mul", z, hidden)
    return [block.op("Add", block.op("Mul", block.op("Sub", _one(block, z), z), fresh), kept)]


def _lstm(cell: Cell, block: Block, gates: ir.Value, state: Sequence[ir.Value]) -> list[ir.Value]:
    """ONNX LSTM, gates in the order i, o, f, c; peepholes look at the cell state."""
    hidden, memory = state
    total = block.op("Add", gates, _recurrent(cell, block, hidden))
    i, o, f, c = cell.split(block, total)
    peepholes = cell.weights.peepholes

    def peep(gate: ir.Value, index: int, seen: ir.Value) -> ir.Value:
        return block.op("Add", gate, block.op("Mul", peepholes[index], seen)) if peepholes else gate

    i = cell.active(block, 0, peep(i, 0, memory))
    if cell.flag:
        f = block.op("Sub", _one(block, i), i)
    else:
        f = cell.active(block, 0, peep(f, 2, memory))
    c = cell.active(block, 1, c)
    memory = block.op("Add", block.op("Mul", f, memory), block.op("Mul", i, c))
    o = cell.active(block, 0, peep(o, 1, memory))
    return [block.op("Mul", o, cell.activations[2](block, memory)), memory]


def _one(block: Block, like: ir.Value) -> ir.Value:
    return block.scalar(1.0, block.dtype(like))


@dataclass(frozen=True)
class CellKind:
    """What tells the three operators apart.

    Attributes:
        gates: How many gates there are.
        states: How many tensors the state has.
        activations: The default activations of a direction.
        flag: Name of the attribute for :attr:`Cell.flag`; empty for none.
        step: The equations.
    """

    gates: int
    states: int
    activations: Sequence[str]
    flag: str
    step: Step


CELLS: Mapping[str, CellKind] = {
    "GRU": CellKind(3, 1, ("Sigmoid", "Tanh"), "linear_before_reset", _gru),
    "LSTM": CellKind(4, 2, ("Sigmoid", "Tanh", "Tanh"), "input_forget", _lstm),
    "RNN": CellKind(1, 1, ("Tanh",), "", _rnn),
}
