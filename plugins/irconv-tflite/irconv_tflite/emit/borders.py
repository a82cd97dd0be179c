"""Inputs and outputs in channel-last layout, where the graph transposes them anyway."""

from __future__ import annotations

from irconv_tflite.emit.graph import Operator, Subgraph, Tensor

__all__ = ["move_borders"]

_TO_LAST = {4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_TO_FIRST = {4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def move_borders(subgraph: Subgraph) -> dict[Tensor, tuple[int, ...]]:
    """Drop the transposes at the border of a main graph.

    Returns:
        For each input or output that is now channel-last, the permutation from the source's
        layout to the artifact's.
    """
    moved: dict[Tensor, tuple[int, ...]] = {}
    for index, tensor in enumerate(subgraph.inputs):
        readers = [operator for operator in subgraph.operators if tensor in operator.inputs]
        order = _TO_LAST.get(len(tensor.shape or ()))
        if order and readers and all(_order(operator) == order for operator in readers):
            first = readers[0].outputs[0]
            if tensor in subgraph.outputs or any(
                operator.outputs[0] in subgraph.outputs for operator in readers
            ):
                continue
            first.name, tensor.name = tensor.name, first.name
            for operator in readers:
                _replace(subgraph, operator.outputs[0], first)
            subgraph.inputs[index] = first
            subgraph.operators = [o for o in subgraph.operators if o not in readers]
            moved[first] = order
    for index, tensor in enumerate(subgraph.outputs):
        producer = next((o for o in subgraph.operators if tensor in o.outputs), None)
        order = _TO_FIRST.get(len(tensor.shape or ()))
        if producer is None or not order or _order(producer) != order:
            continue
        source = producer.inputs[0]
        assert source is not None
        if source.constant is not None or source in (*subgraph.inputs, *subgraph.outputs):
            continue
        if any(tensor in operator.inputs for operator in subgraph.operators):
            continue
        source.name, tensor.name = tensor.name, source.name
        subgraph.outputs[index] = source
        subgraph.operators.remove(producer)
        moved[source] = _TO_LAST[len(order)]
    return moved


def _order(operator: Operator) -> tuple[int, ...] | None:
    if operator.code != "TRANSPOSE":
        return None
    order = operator.inputs[1]
    if order is None or order.constant is None:
        return None
    return tuple(int(axis) for axis in order.constant.load())


def _replace(subgraph: Subgraph, old: Tensor, new: Tensor) -> None:
    for operator in subgraph.operators:
        operator.inputs = [new if item is old else item for item in operator.inputs]
