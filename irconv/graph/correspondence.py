"""Values that must be the same in two states of a model, since a reader that stayed reads them.

A value of the main graph corresponds if both states have one of its name and dtype, and a node
that computes the same in both reads it at the same place. A pass that changes what a value holds
gives it another name or changes its readers. Values that are computed from the same inputs and
constants by the same operators in both states are equal by construction and left out; they are
told by a hash over the producer's subgraph. Linear in nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from irconv.graph.difference import node_index, same_computation
from irconv.graph.fingerprint import attribute_signature, function_fingerprint
from irconv.graph.scopes import nested_nodes

__all__ = ["corresponding_values"]


def corresponding_values(before: ir.Model, after: ir.Model) -> list[ir.Value]:
    """Return the values of ``after`` to compare with those of the same names in ``before``.

    Args:
        before: A snapshot from before, which shares its tensors with ``after``.
        after: The model now.

    Returns:
        Tensors that nodes of the main graph compute, in topological order; no graph outputs.
    """
    old_values = {value.name: value for node in before.graph for value in node.outputs}
    old_keys, new_keys = _keys(before), _keys(after)
    read = _read_alike(before, after)
    return [
        value
        for node in after.graph
        for value in node.outputs
        if value.name in read
        and not value.is_graph_output()
        and (old := old_values.get(value.name)) is not None
        and _comparable(old, value)
        and old_keys[old] != new_keys[value]
    ]


def _read_alike(before: ir.Model, after: ir.Model) -> set[str]:
    """Return the names of values that some unchanged node reads at the same place in both."""
    old = node_index(before)
    names: set[str] = set()
    for key, node in node_index(after).items():
        if key not in old or not same_computation(old[key], node):
            continue
        for was, now in zip(old[key].inputs, node.inputs, strict=True):
            if was is not None and now is not None and was.name == now.name:
                names.add(now.name or "")
    return names - {""}


def _comparable(old: ir.Value, new: ir.Value) -> bool:
    if not isinstance(new.type, ir.TensorType) or old.type != new.type:
        return False
    if old.shape is None or new.shape is None:
        return True
    return len(old.shape) == len(new.shape) and not any(
        isinstance(was, int) and isinstance(now, int) and was != now
        for was, now in zip(old.shape, new.shape, strict=True)
    )


def _keys(model: ir.Model) -> dict[ir.Value, int]:
    """Return a hash of the subgraph that computes each value of the main graph."""
    functions = {
        identifier: function_fingerprint(function)
        for identifier, function in model.functions.items()
    }
    every_function = hash(tuple(functions.values()))
    keys: dict[ir.Value, int] = {}
    for value in model.graph.inputs:
        keys[value] = hash(("input", value.name))
    for value in model.graph.initializers.values():
        keys[value] = hash(("constant", id(value.const_value)))
    for node in model.graph:
        called = functions.get(node.op_identifier())
        key = (
            node.domain,
            node.op_type,
            node.overload,
            None if called is None else every_function,
            frozenset(attribute_signature(item) for item in node.attributes.values()),
            tuple(None if value is None else keys[value] for value in node.inputs),
            tuple(_captured(node, keys)),
        )
        for index, value in enumerate(node.outputs):
            keys[value] = hash((key, index))
    return keys


def _captured(node: ir.Node, keys: dict[ir.Value, int]) -> Iterable[int]:
    """Yield the keys of what the bodies of a node read from outside."""
    for inner in nested_nodes(node):
        for value in inner.inputs:
            if value is not None and value in keys:
                yield keys[value]
