"""Replacing values and removing nodes in bulk, in linear time and without losing a name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import onnx_ir as ir

from irconv.graph.names import ambiguous_names
from irconv.graph.scopes import nested_nodes

__all__ = ["Editor", "constants_to_front", "detach"]

_CONSTANT = ("", "Constant", "")


def detach(node: ir.Node) -> None:
    """Make ``node`` and all nodes of its bodies read nothing, so that their inputs lose uses."""
    for reader in (node, *nested_nodes(node)):
        for index, value in enumerate(reader.inputs):
            if value is not None:
                reader.replace_input_with(index, None)


def constants_to_front(graph: ir.Graph, values: Iterable[ir.Value | None]) -> None:
    """Move the Constant nodes of a graph among the makers of ``values`` to its front.

    A node that reads them may then stand anywhere.
    """
    for maker in dict.fromkeys(value.producer() for value in values if value is not None):
        if maker is None or maker.graph is not graph or maker.op_identifier() != _CONSTANT:
            continue
        first = graph[0]
        if maker is not first:
            graph.remove(maker)
            graph.insert_before(first, maker)


class Editor:
    """Edits of one model by one pass; removals happen in :meth:`finish`.

    Args:
        model: The model. No value may be renamed or added but through this editor meanwhile.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._removed: dict[ir.Graph, list[ir.Node]] = {}
        self._outputs: dict[ir.Graph, dict[ir.Value, list[int]]] = {}

    @cached_property
    def _ambiguous(self) -> frozenset[str]:
        return ambiguous_names(self._model)

    def blocker(self, old: ir.Value, new: ir.Value) -> str:
        """Return why ``new`` cannot stand in for ``old``; empty if it can.

        Where ``old`` is a graph output its name must survive, so ``new`` must be computed in
        the same graph and must not be an output already.
        """
        if self._hidden(new.name, old, new) or (
            old.is_graph_output() and self._hidden(old.name, old, new)
        ):
            return f"another graph has a value of the same name as {new.name!r} or {old.name!r}"
        if not old.is_graph_output():
            return ""
        if new.producer() is None:
            kind = "an input" if new.is_graph_input() else "an initializer"
            return f"{new.name!r} is {kind} and {old.name!r} an output: both names must survive"
        if new.is_graph_output():
            return f"{new.name!r} and {old.name!r} are both outputs: both names must survive"
        if new.graph is not old.graph:
            return f"{old.name!r} is an output of a body, and {new.name!r} is computed outside it"
        return ""

    def _hidden(self, name: str | None, *values: ir.Value) -> bool:
        """Return whether some reader of ``values`` may mean another value by ``name``."""
        if name not in self._ambiguous:
            return False
        graphs = {value.graph for value in values}
        graphs.update(user.graph for value in values for user, _ in value.uses())
        return len(graphs) > 1

    def redirect(self, old: ir.Value, new: ir.Value) -> None:
        """Make all that reads ``old`` read ``new``; :meth:`blocker` must have found nothing.

        If ``old`` is a graph output, ``new`` takes over its name, type and shape.
        """
        for user, index in old.uses():
            user.replace_input_with(index, new)
        if new.type is None:
            new.type = old.type
        if new.shape is None and old.shape is not None and not new.is_graph_input():
            new.shape = old.shape.copy()
        if not old.is_graph_output():
            return
        graph = old.graph
        assert graph is not None
        for position in self._positions(graph).pop(old):
            graph.outputs[position] = new
            self._positions(graph).setdefault(new, []).append(position)
        name, old.name = old.name, None
        new.name = name
        new.type = old.type
        new.shape = old.shape

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Make all that reads ``old`` read ``new``, which takes over its name as well.

        What :meth:`redirect` asks for holds here too.
        """
        if not old.is_graph_output():
            new.name, old.name = old.name, None
        self.redirect(old, new)

    def replace_node(self, old: ir.Node, new: ir.Node) -> None:
        """Put ``new`` in the place of ``old``, both with one output, and mark ``old``.

        The output of ``new`` takes over the name, the type and the shape of that of ``old``.
        """
        assert old.graph is not None
        result, output = new.outputs[0], old.outputs[0]
        result.name, result.type, result.shape = output.name, output.type, output.shape
        old.graph.insert_before(old, new)
        self.replace(output, result)
        self.remove(old)

    def _positions(self, graph: ir.Graph) -> dict[ir.Value, list[int]]:
        if graph not in self._outputs:
            positions: dict[ir.Value, list[int]] = {}
            for index, value in enumerate(graph.outputs):
                positions.setdefault(value, []).append(index)
            self._outputs[graph] = positions
        return self._outputs[graph]

    def remove(self, node: ir.Node) -> None:
        """Mark a node whose outputs nothing reads any more."""
        assert node.graph is not None
        self._removed.setdefault(node.graph, []).append(node)

    def finish(self) -> int:
        """Remove the marked nodes and return how many they are."""
        for nodes in self._removed.values():
            for node in nodes:
                detach(node)
        for graph, nodes in self._removed.items():
            graph.remove(nodes, safe=True)
        count = sum(len(nodes) for nodes in self._removed.values())
        self._removed.clear()
        return count
