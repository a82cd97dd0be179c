"""Giving a converted model the names that the source's author knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from irconv.graph.walk import all_graphs

__all__ = ["all_values", "name_interface", "strip_metadata"]


def name_interface(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Rename inputs and outputs, in order; other values that have such a name make room.

    An output that is an input, a constant or another output too becomes a value of its own.

    Args:
        model: The model, changed in place.
        inputs: A name for each input.
        outputs: A name for each output.
    """
    _make_room(model, {*inputs, *outputs})
    for value, name in zip(model.graph.inputs, inputs, strict=True):
        value.name = name
    seen: set[ir.Value] = set()
    for index, (value, name) in enumerate(zip(list(model.graph.outputs), outputs, strict=True)):
        if value in seen or value.is_graph_input() or value.is_initializer():
            value = _copy_value(model, value)
            model.graph.outputs[index] = value
        seen.add(value)
        value.name = name


def _make_room(model: ir.Model, wanted: set[str]) -> None:
    """Rename the values that have a name which an input or output is to have."""
    values = list(all_values(model))
    taken = {value.name for value in values} | wanted
    for value in values:
        if value.name in wanted:
            count = 1
            while f"{value.name}_{count}" in taken:
                count += 1
            value.name = f"{value.name}_{count}"
            taken.add(value.name)


def _copy_value(model: ir.Model, value: ir.Value) -> ir.Value:
    node = ir.node("Identity", [value])
    node.outputs[0].shape = value.shape
    node.outputs[0].type = value.type
    model.graph.append(node)
    return node.outputs[0]


def all_values(model: ir.Model) -> Iterator[ir.Value]:
    """Yield inputs, initializers and what nodes give, of the graph and of every body."""
    for graph in all_graphs(model):
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs


def strip_metadata(model: ir.Model) -> None:
    """Remove what tells of the machine: stack traces and paths of the user's code."""
    model.metadata_props.clear()
    for graph in all_graphs(model):
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
    for function in model.functions.values():
        function.metadata_props.clear()
    for value in all_values(model):
        value.metadata_props.clear()
        value.doc_string = None
