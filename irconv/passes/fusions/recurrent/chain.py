"""Steps that hand their state on, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.scopes import scopes
from irconv.passes.decompose.block import Keep
from irconv.passes.fusions.pattern import made_by, operand
from irconv.passes.fusions.recurrent.affine import Affine, Piece
from irconv.passes.fusions.recurrent.cell import Cell, Sums
from irconv.passes.fusions.recurrent.moments import Moment

__all__ = ["Cells", "Chain", "chain_of", "is_zero"]


class Cells:
    """All steps of one kind of cell in a model.

    Args:
        model: The model.
        find: Returns the step of which a node computes the hidden state.
    """

    def __init__(self, model: ir.Model, find: Callable[[ir.Node], Cell | None]) -> None:
        self._find = find
        self._states: dict[ir.Node, ir.Value] = {}
        self._nodes: dict[ir.Value, ir.Node] = {}
        self._continued: set[ir.Value] = set()
        for scope in scopes(model):
            for node in scope.nodes():
                cell = None if node.domain != "" else find(node)
                if cell is not None:
                    self._states[node] = cell.state
                    self._nodes[cell.state] = node
                    self._continued.add(cell.previous)

    def ending_at(self, node: ir.Node) -> list[Cell]:
        """Return the steps up to the one of ``node``, if none follows it, as they are now.

        Steps that were fused meanwhile gave their values to others.
        """
        if node not in self._states or self._states[node] in self._continued:
            return []
        found: list[Cell] = []
        step: ir.Node | None = node
        while step is not None:
            cell = self._find(step)
            if cell is None:
                break
            found.append(cell)
            step = self._nodes.get(cell.previous)
        return found[::-1]


@dataclass(frozen=True)
class Chain:
    """Steps with the same weights over the steps of one sequence.

    Attributes:
        cells: The steps.
        sums: What goes into the gates of the last step.
        moments: What each step takes from the sequence.
        hidden: The hidden state before; None for zeros that the graph has multiplied out.
    """

    cells: Sequence[Cell]
    sums: Sums
    moments: Sequence[Moment]
    hidden: ir.Value | None

    @property
    def recurrent_weights(self) -> list[list[Piece]]:
        """The state's weights for each gate."""
        return self.sums.recurrent_weights(_final_state(self.sums, self.moments[-1]))


def chain_of(cells: Sequence[Cell], sums_of: Callable[[Cell], Sums]) -> Chain:
    """Return what steps have in common; a first one that is different is left out.

    Raises:
        Keep: If there are not two steps that have.
    """
    if len(cells) < 2:
        raise Keep("it is a single step of a cell")
    last = sums_of(cells[-1])
    data = _data(last, cells[-2].hidden)
    moments = [data]
    for index in range(len(cells) - 2, 0, -1):
        sums = sums_of(cells[index])
        moments.append(_same(sums, last, cells[index - 1].hidden, data))
    try:
        first = sums_of(cells[0])
        hidden = _initial(first, data)
        _check_initial(cells[0], hidden)
        moments.append(_same(first, last, hidden, data))
    except Keep as reason:
        if len(cells) == 2:
            raise Keep(f"the two steps differ: {reason}") from None
        return Chain(cells[1:], last, moments[::-1], cells[0].hidden)
    return Chain(cells, last, moments[::-1], hidden)


def _data(sums: Sums, hidden: ir.Value) -> Moment:
    """Return what a step takes from the sequence."""
    found = [moment for moment in sums.moments() if moment.source is not hidden]
    if len(found) != 1:
        names = ", ".join(repr(moment.source.name) for moment in found) or "nothing"
        raise Keep(f"beside the state {hidden.name!r}, a step multiplies {names}")
    if found[0].axis is None:
        raise Keep(f"{found[0].source.name!r} is not one step of a sequence")
    _checked(sums, found[0], hidden)
    return found[0]


def _checked(sums: Sums, data: Moment, hidden: ir.Value | None) -> None:
    """Keep the steps unless each gate has products of its input and its state, and no others."""
    state = None if hidden is None else _moment(sums, hidden)
    weights, recurrences = sums.weights(data), sums.recurrent_weights(state)
    for index, part in enumerate(sums.inputs):
        whole = len(weights[index]) + (
            len(recurrences[index]) if part is sums.recurrences[index] else 0
        )
        rest = sums.recurrences[index]
        if whole != len(part.products) or (
            rest is not part and len(recurrences[index]) != len(rest.products)
        ):
            raise Keep(f"gate {index} multiplies what the other gates do not")
        if not weights[index] or not (recurrences[index] or hidden is None):
            raise Keep(f"gate {index} lacks the product of the input or of the state")


def _moment(sums: Sums, hidden: ir.Value) -> Moment:
    for moment in sums.moments():
        if moment.value is hidden:
            return moment
    return Moment(hidden)


def _initial(sums: Sums, data: Moment) -> ir.Value | None:
    """Return the hidden state that the first step multiplies."""
    found = [
        moment
        for moment in sums.moments()
        if (moment.source, moment.axis) != (data.source, data.axis)
    ]
    if len(found) > 1:
        names = ", ".join(repr(moment.source.name) for moment in found)
        raise Keep(f"the first step multiplies {names}")
    return found[0].value if found else None


def _check_initial(cell: Cell, hidden: ir.Value | None) -> None:
    if hidden is None and not is_zero(cell.previous):
        raise Keep("the first step lacks the product of the state")
    if cell.state is cell.hidden and hidden not in (None, cell.previous):
        raise Keep("the first step multiplies another state than it mixes in")


def _same(sums: Sums, last: Sums, hidden: ir.Value | None, data: Moment) -> Moment:
    """Return what a step takes from the sequence, if it is a step like the last one."""
    state = None if hidden is None else _moment(sums, hidden)
    rest = [moment for moment in sums.moments() if moment != state]
    if len(rest) != 1 or (rest[0].source, rest[0].axis) != (data.source, data.axis):
        names = ", ".join(repr(moment.source.name) for moment in rest) or "nothing"
        raise Keep(f"a step multiplies {names}, where the last takes one of {data.source.name!r}")
    _checked(sums, rest[0], hidden)
    if sums.after_product != last.after_product:
        raise Keep("a step has its reset gate elsewhere")
    final = _final_state(last, data)
    same = _alike(sums.weights(rest[0]), last.weights(data)) and (
        state is None or _alike(sums.recurrent_weights(state), last.recurrent_weights(final))
    )
    if not same:
        raise Keep("a step has other weights than the last")
    if not all(_equal(*pair) for pair in zip(sums.biases(), last.biases(), strict=True)):
        raise Keep("a step has other biases than the last")
    return rest[0]


def _final_state(last: Sums, data: Moment) -> Moment:
    return next(moment for moment in last.moments() if moment != data)


def _alike(first: Sequence[Sequence[Piece]], second: Sequence[Sequence[Piece]]) -> bool:
    return all(
        len(mine) == len(others)
        and all(piece.same(other) for piece, other in zip(mine, others, strict=True))
        for mine, others in zip(first, second, strict=True)
    )


def _equal(first: Affine, second: Affine) -> bool:
    return bool((first.bias == second.bias).all())


def is_zero(value: ir.Value) -> bool:
    """Return whether a value is all zeros."""
    tensor = constant_tensor(value)
    if tensor is not None:
        return tensor.dtype.is_floating_point() and not tensor.numpy().any()
    node = made_by(value, "ConstantOfShape", "Expand")
    if node is None:
        return False
    if node.op_type == "Expand":
        source = operand(node, 0)
        return source is not None and constant_tensor(source) is not None and is_zero(source)
    given = node.attributes.get("value")
    return given is None or not (given.is_ref() or given.as_tensor().numpy().any())
