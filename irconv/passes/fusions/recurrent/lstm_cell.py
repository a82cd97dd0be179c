"""One step of an LSTM: C = f ⊙ C' + i ⊙ c, H = o ⊙ tanh(C) (ONNX LSTM, since opset 7)."""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.fusions.pattern import pairs
from irconv.passes.fusions.recurrent.cell import Cell, Sums, activated, sum_of

__all__ = ["lstm_cell", "lstm_sums"]


def lstm_cell(node: ir.Node) -> Cell | None:
    """Return the step of which ``node`` computes the hidden state; its gates are i, o, f, c."""
    hidden = node.outputs[0]
    for first, second in pairs(hidden, "Mul"):
        out, memory = activated(first, "Sigmoid"), activated(second, "Tanh")
        if out is None or memory is None:
            continue
        for kept, added in pairs(memory, "Add"):
            for gate, previous in pairs(kept, "Mul"):
                forget = activated(gate, "Sigmoid")
                fresh = _fresh(added)
                if forget is not None and fresh is not None:
                    gates = (fresh[0], out, forget, fresh[1])
                    return Cell(node, hidden, memory, previous, gates)
    return None


def _fresh(value: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """Return what goes into i and c of i ⊙ c."""
    for first, second in pairs(value, "Mul"):
        gate, candidate = activated(first, "Sigmoid"), activated(second, "Tanh")
        if gate is not None and candidate is not None:
            return gate, candidate
    return None


def lstm_sums(cell: Cell) -> Sums:
    """Return what goes into the gates.

    Raises:
        Keep: If it is not what an LSTM adds.
    """
    gates = [sum_of(gate) for gate in cell.gates]
    return Sums(gates, gates)
