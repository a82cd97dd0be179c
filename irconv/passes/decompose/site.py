"""One node that is to be replaced, and the nodes that replace it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.edit import detach
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import nested_nodes
from irconv.graph.unread import drop_unread
from irconv.graph.walk import subgraphs_of
from irconv.passes.decompose.block import Block, Keep

__all__ = ["Site"]

_T = TypeVar("_T")


class Site(Block):
    """A node, read by a rule, which adds to this block what computes the same.

    Args:
        node: The node.
        names: Gives fresh names for the new values.
        version: The opset version of the default domain.
    """

    def __init__(self, node: ir.Node, names: NameAllocator, version: int) -> None:
        stem = next((value.name for value in node.outputs if value.name), node.op_type)
        super().__init__(names, version, stem)
        self.node = node

    def attribute(self, name: str, default: _T) -> _T:
        """Return the value of an attribute, of the type of ``default``."""
        found: Any = self.optional(name)
        return default if found is None else found

    def optional(self, name: str) -> Any:
        """Return the value of an attribute, or None where it is absent."""
        found = self.node.attributes.get(name)
        if found is None:
            return None
        if found.is_ref():
            raise Keep(f"its attribute {name!r} is a parameter of a local function")
        value = found.value
        if isinstance(value, bytes):
            return value.decode()
        return list(value) if isinstance(value, tuple) else value

    def input(self, index: int) -> ir.Value:  # type: ignore[override]
        """Return an input that the operator cannot do without."""
        value = self.maybe(index)
        if value is None:
            raise Keep(f"it lacks input {index}")
        return value

    def maybe(self, index: int) -> ir.Value | None:
        """Return an input, or None where it is absent."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def wants(self, index: int) -> bool:
        """Return whether an output is there."""
        return index < len(self.node.outputs) and self.node.outputs[index].name != ""

    def axis(self, name: str = "axis", default: int = -1, of: ir.Value | None = None) -> int:
        """Return an axis attribute, counted from 0, of an input (the first one, if not given)."""
        rank = self.rank(of or self.input(0))
        axis = self.attribute(name, default)
        if not -rank <= axis < rank:
            raise Keep(f"its {name} {axis} is outside of rank {rank}")
        return axis % rank

    def constant_ints(self, index: int, what: str) -> tuple[int, ...]:
        """Return a constant integer input, flattened; keeps the node where it is computed."""
        found = constant_ints(self.input(index))
        if found is None:
            raise Keep(f"its {what} are computed, not constant")
        return found

    def constant_array(self, index: int, what: str) -> npt.NDArray[Any]:
        """Return a constant input; keeps the node where it is computed."""
        tensor = constant_tensor(self.input(index))
        if tensor is None:
            raise Keep(f"its {what} is computed, not constant")
        return np.asarray(tensor.numpy())

    def discard(self) -> None:
        """Forget the new nodes, and let them read nothing, so that the node stays as it was."""
        own = set(subgraphs_of(self.node))
        for item in self.nodes:
            if own.isdisjoint(subgraphs_of(item)):
                detach(item)
            else:
                for index in range(len(item.inputs)):
                    item.replace_input_with(index, None)
        self.nodes.clear()

    def replace(self, results: Sequence[ir.Value | None]) -> None:
        """Put the new nodes in the place of the node; results take the names of its outputs."""
        node, graph = self.node, self.node.graph
        assert graph is not None
        made = {value for item in self.nodes for value in item.outputs}
        taken: set[ir.Value] = set()
        pairs: list[tuple[ir.Value, ir.Value]] = []
        for old, new in zip(node.outputs, results, strict=False):
            if new is None or not old.name:
                continue
            if new not in made or new in taken:
                new = self.op("Identity", new)
            taken.add(new)
            pairs.append((old, new))
        for item in self.nodes:
            item.metadata_props.update(node.metadata_props)
        graph.insert_before(node, self.nodes)
        for old, new in pairs:
            name, kind, shape, is_output = old.name, old.type, old.shape, old.is_graph_output()
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            old.name = None
            new.name = name
            new.type = kind if is_output else kind or new.type
            new.shape = new.shape if shape is None else shape
        inputs = tuple(node.inputs)
        moved = {
            body
            for item in self.nodes
            for holder in (item, *nested_nodes(item))
            for body in subgraphs_of(holder)
        }
        if moved.isdisjoint(subgraphs_of(node)):
            detach(node)
        graph.remove(node, safe=True)
        for value in inputs:
            drop_unread(value)
        self._drop_unread()

    def _drop_unread(self) -> None:
        for item in reversed(self.nodes):
            read = any(value.uses() or value.is_graph_output() for value in item.outputs)
            if item.graph is not None and not read:
                detach(item)
                item.graph.remove(item, safe=True)
