"""Taking large constants out of a TensorFlow graph, whose message holds 2 GB at most.

This module handles protobuf messages of TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["hide", "show", "take_out"]


def take_out(graph_def: Any, larger_than: int) -> dict[str, bytes]:
    """Remove the content of constants of more than so many bytes and return it by node.

    tf2onnx looks for the content by the node's name in functions too, so a constant that has
    the name of a node in a function keeps its content.
    """
    inside = {node.name for function in graph_def.library.function for node in function.node_def}
    values: dict[str, bytes] = {}
    for node in _constants(graph_def):
        tensor = node.attr["value"].tensor
        if len(tensor.tensor_content) > larger_than and node.name not in inside:
            values[node.name] = tensor.tensor_content
            tensor.ClearField("tensor_content")
    return values


def _constants(graph_def: Any) -> list[Any]:
    return [node for node in graph_def.node if node.op == "Const"]


def hide(graph_def: Any, values: Mapping[str, bytes]) -> dict[str, Any]:
    """Make placeholders of constants without content, so that nothing computes with them.

    Returns:
        The constants by name, for :func:`show`.
    """
    hidden: dict[str, Any] = {}
    for node in _constants(graph_def):
        if node.name not in values:
            continue
        copy = type(node)()
        copy.CopyFrom(node)
        hidden[node.name] = copy
        tensor = copy.attr["value"].tensor
        node.op = "Placeholder"
        node.attr.clear()
        node.attr["dtype"].type = tensor.dtype
        node.attr["shape"].shape.CopyFrom(tensor.tensor_shape)
    return hidden


def show(graph_def: Any, hidden: Mapping[str, Any]) -> None:
    """Make constants again of what :func:`hide` hid."""
    for node in graph_def.node:
        if node.name in hidden:
            node.CopyFrom(hidden[node.name])
