"""One step of a GRU: H = (1 - z) ⊙ h + z ⊙ H' (ONNX GRU, since opset 7).

PyTorch writes it as h + z ⊙ (H' - h).
"""

from __future__ import annotations

import onnx_ir as ir

from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import made_by, operand, pairs, scalar
from irconv.passes.fusions.recurrent.cell import Cell, Sums, activated, sum_of

__all__ = ["gru_cell", "gru_sums"]


def gru_cell(node: ir.Node) -> Cell | None:
    """Return the step of which ``node`` computes the hidden state; its gates are z and h."""
    hidden = node.outputs[0]
    for first, second in pairs(hidden, "Add"):
        found = _moved(first, second) or _mixed(first, second)
        if found is not None:
            update, candidate, previous = found
            return Cell(node, hidden, hidden, previous, (update, candidate))
    return None


def _moved(step: ir.Value, fresh: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """Return z, h and H' of h + z ⊙ (H' - h), before the activations."""
    candidate = activated(fresh, "Tanh")
    for gate, way in pairs(step, "Mul"):
        update, difference = activated(gate, "Sigmoid"), made_by(way, "Sub")
        if candidate is None or update is None or difference is None:
            continue
        previous = operand(difference, 0)
        if previous is not None and operand(difference, 1) is fresh:
            return update, candidate, previous
    return None


def _mixed(new: ir.Value, kept: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """Return z, h and H' of (1 - z) ⊙ h + z ⊙ H', before the activations."""
    for gate, previous in pairs(kept, "Mul"):
        update = activated(gate, "Sigmoid")
        for rest, fresh in pairs(new, "Mul"):
            candidate, difference = activated(fresh, "Tanh"), made_by(rest, "Sub")
            if candidate is None or update is None or difference is None:
                continue
            if scalar(operand(difference, 0)) == 1 and operand(difference, 1) is gate:
                return update, candidate, previous
    return None


def gru_sums(cell: Cell) -> Sums:
    """Return what goes into the gates z, r and h.

    The reset gate r multiplies the product of the state (``linear_before_reset``), which is a
    term of h, or the state before the product.

    Raises:
        Keep: If it is not what a GRU adds.
    """
    update, candidate = sum_of(cell.gates[0]), sum_of(cell.gates[1], spared=1)
    if candidate.others:
        for gate, inner in pairs(candidate.others[0], "Mul"):
            reset = activated(gate, "Sigmoid")
            if reset is not None:
                start = sum_of(reset)
                return Sums((update, start, candidate), (update, start, sum_of(inner)))
    for moment in candidate.moments():
        for gate, state in pairs(moment.source, "Mul"):
            reset = activated(gate, "Sigmoid")
            if moment.axis is None and reset is not None and state is cell.previous:
                gates = (update, sum_of(reset), candidate)
                return Sums(gates, gates, moment.source)
    raise Keep(f"the state {cell.previous.name!r} does not go through a reset gate")
