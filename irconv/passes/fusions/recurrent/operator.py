"""The recurrent operator that takes the place of a chain of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from irconv.graph.scopes import Scope
from irconv.graph.symbolic.expression import Dim
from irconv.graph.symbolic.sizes import Sizes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.fused import Fused, Item, Made, Output
from irconv.passes.fusions.recurrent.affine import Piece
from irconv.passes.fusions.recurrent.chain import Chain, is_zero
from irconv.passes.fusions.recurrent.moments import Moment
from irconv.passes.fusions.recurrent.stack import shared_parts, stacked
from irconv.passes.fusions.region import region
from irconv.runtime.base import Array

__all__ = ["recurrent_operator"]

_OPSET = 7
_DTYPE = ir.DataType.FLOAT
"""The dtype that runtimes have kernels for; the operators' specification allows wider ones."""


def recurrent_operator(op_type: str, chain: Chain, scope: Scope, sizes: Sizes) -> Fused:
    """Return the operator, and which of its outputs the results of the steps are.

    Raises:
        Keep: If the sizes or the dtype do not fit.
    """
    data, opset = chain.moments[0], scope.opsets.get("", 1)
    assert data.axis is not None
    dims = sizes.dims(data.source)
    if dims is None or len(dims) != 3:
        raise Keep(f"the rank of {data.source.name!r} is not known to be 3; run infer-shapes first")
    batch = dims[1 - data.axis]
    weights = chain.sums.weights(chain.moments[-1])
    recurrences = chain.recurrent_weights
    hidden = len(recurrences[0][0].columns)
    _check_widths(weights, dims[2], hidden)
    _check_widths(recurrences, hidden, hidden)
    dtype = weights[0][0].tensor.dtype
    if dtype != _DTYPE:
        raise Keep(f"the weights are {dtype.name}; runtimes have {op_type} in {_DTYPE.name} only")
    initial = [chain.hidden, *([] if op_type == "GRU" else [chain.cells[0].previous])]
    states = (chain.hidden, chain.cells[0].previous)
    zeros = [value for value in states if value is not None and is_zero(value)]
    _check_states(chain, initial, sizes, (batch, hidden))
    sequence, positions, reverse = _sequence(chain.moments, dims[data.axis])
    inputs: list[Item] = [
        sequence, _weight(weights, dtype), _weight(recurrences, dtype),
        _bias(chain, len(weights), hidden, dtype), None,
        *(
            None if value is None or value in zeros else _unsqueezed(value, 0, opset)
            for value in initial
        ),
    ]  # fmt: skip
    while inputs[-1] is None:
        inputs.pop()
    first = chain.cells[0].node
    attributes = {
        "hidden_size": hidden,
        "direction": "reverse" if reverse else None,
        "linear_before_reset": 1 if chain.sums.after_product else None,
    }
    taken = [moment.value for moment in chain.moments if moment.value is not None]
    parts = shared_parts(cell.hidden for cell in chain.cells)
    spared = [*taken, *parts, *(value for value in zeros if value.producer() is not None)]
    outline = Fused(op_type, inputs, [], spared=spared, before=first)
    return Fused(
        op_type, inputs, [None] * _outputs(op_type), attributes,
        derived=_derived(chain, outline, positions, opset), opset=_OPSET, spared=spared,
        sized=True, sizes=sizes, before=first,
    )  # fmt: skip


def _outputs(op_type: str) -> int:
    return 2 if op_type == "GRU" else 3


def _check_widths(gates: Sequence[Sequence[Piece]], rows: Dim, columns: int) -> None:
    for gate in gates:
        for piece in gate:
            if (len(piece.rows), len(piece.columns)) != (rows, columns):
                raise Keep(
                    f"a gate's weight is {len(piece.rows)} x {len(piece.columns)}, "
                    f"where {rows} x {columns} is wanted"
                )


def _check_states(
    chain: Chain, initial: Sequence[ir.Value | None], sizes: Sizes, wanted: tuple[Dim, int]
) -> None:
    """Keep the steps unless every state has a row for each row of the input."""
    given = [value for value in initial if value is not None and not is_zero(value)]
    for value in (*given, *(cell.hidden for cell in chain.cells)):
        if sizes.dims(value) != wanted:
            raise Keep(f"{value.name!r} is not known to be of shape [{wanted[0]}, {wanted[1]}]")


def _sequence(moments: Sequence[Moment], length: Dim) -> tuple[Item, list[int], bool]:
    """Return the sequence, the place of each step in it, and whether time runs backwards."""
    source, axis = moments[0].source, moments[0].axis
    steps = [moment.index for moment in moments]
    count = len(steps)
    item: ir.Value | Made = source
    positions, reverse = list(range(count)), False
    if isinstance(length, int):
        if not all(-length <= step < length for step in steps):
            raise Keep(f"{source.name!r} has {length} steps, and step {max(steps)} is read")
        steps = [step % length for step in steps]
    if length == count and steps == positions[::-1]:
        positions, reverse = steps, True
    elif length != count or steps != positions:
        item = Made("Gather", [source, np.array(steps, np.int64)], {"axis": axis})
    if axis == 1:
        item = Made("Transpose", [item], {"perm": [1, 0, 2]})
    return item, positions, reverse


def _weight(gates: Sequence[Sequence[Piece]], dtype: ir.DataType) -> ir.LazyTensor:
    rows = sum(len(gate[0].columns) for gate in gates)
    shape = ir.Shape([1, rows, len(gates[0][0].rows)])

    def load() -> ir.TensorProtocol:
        parts = [sum(piece.array() for piece in gate) for gate in gates]
        return ir.Tensor(np.concatenate(parts)[None], dtype=dtype)

    return ir.LazyTensor(load, dtype, shape)


def _bias(chain: Chain, gates: int, hidden: int, dtype: ir.DataType) -> Array | None:
    """Return the biases of input and state, of which the state's are not 0 after a reset only."""
    if not any(part.biased for part in chain.sums.biases()):
        return None
    rows = chain.sums.bias_rows()
    if any(row.size not in (1, hidden) for row in rows):
        raise Keep("what a gate adds is not one number for each of its columns")
    zero = np.zeros(hidden)
    extra = rows[gates] if len(rows) > gates else zero
    whole = [*rows[:gates], *[zero] * (gates - 1), extra]
    bias: Array = np.concatenate([np.broadcast_to(row, hidden) for row in whole])[None]
    return bias.astype(dtype.numpy())


def _derived(
    chain: Chain, outline: Fused, positions: Sequence[int], opset: int
) -> dict[ir.Value, Made]:
    """Return which steps' results are read, and how they are had from Y, Y_h and Y_c."""
    cells, last = chain.cells, chain.cells[-1]
    sequence = _squeezed(Output(0), 1, opset)
    place = {cell.hidden: position for cell, position in zip(cells, positions, strict=True)}
    found = {} if len(place) < len(cells) else stacked(place, sequence)
    ends = dict.fromkeys((*found, last.hidden, last.state))
    inside = set(region(replace(outline, outputs=[*ends])))
    for cell in cells[:-1]:
        if _read(cell.hidden, inside):
            found[cell.hidden] = _taken(sequence, place[cell.hidden])
    if any(cell.hidden in found for cell in cells):
        if _read(last.hidden, inside):
            found[last.hidden] = _taken(sequence, place[last.hidden])
    elif not found or _read(last.hidden, inside):
        found[last.hidden] = _squeezed(Output(1), 0, opset)
    if last.state is not last.hidden and _read(last.state, inside):
        found[last.state] = _squeezed(Output(2), 0, opset)
    return found


def _read(value: ir.Value, inside: set[ir.Node]) -> bool:
    """Return whether something outside of the region reads a value."""
    return value.is_graph_output() or any(user not in inside for user, _ in value.uses())


def _taken(sequence: Made, position: int) -> Made:
    return Made("Gather", [sequence, np.array(position, np.int64)], {"axis": 0})


def _squeezed(item: Item, axis: int, opset: int) -> Made:
    """Return an item without an axis of size 1."""
    if opset < 13:
        return Made("Squeeze", [item], {"axes": [axis]})
    return Made("Squeeze", [item, np.array([axis], np.int64)])


def _unsqueezed(item: Item, axis: int, opset: int) -> Made:
    """Return an item with one more axis of size 1."""
    if opset < 13:
        return Made("Unsqueeze", [item], {"axes": [axis]})
    return Made("Unsqueeze", [item, np.array([axis], np.int64)])
