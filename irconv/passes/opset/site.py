"""One node under conversion, and what an adapter may do to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor
from irconv.graph.names import NameAllocator
from irconv.graph.scopes import nested_nodes
from irconv.passes.opset.infer import infer_outputs

__all__ = ["Inexpressible", "Site"]


class Inexpressible(Exception):  # noqa: N818 - a finding about the model, reported as a diagnostic
    """A node has no form in the version wanted; the text says why."""


def _attribute(name: str, value: Any) -> ir.Attr:
    if isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
        return ir.AttrInt64s(name, list(value))
    return ir.convenience.convert_attribute(name, value)


@dataclass
class Site:
    """A node, the version that it is in, and the means to change it.

    Attributes:
        node: The node; an adapter changes it in place or replaces it.
        names: Gives fresh names for new values.
        version: The version that :meth:`emit` writes nodes for.
        emitted: New nodes with the version each is in, still to be converted further.
        replaced: Whether the node is gone.
    """

    node: ir.Node
    names: NameAllocator
    version: int = 0
    emitted: deque[tuple[ir.Node, int]] = field(default_factory=deque)
    replaced: bool = False
    _graph: ir.Graph | None = None

    def __post_init__(self) -> None:
        """Note the graph, which the node leaves when it is replaced."""
        self._graph = self.node.graph if isinstance(self.node.graph, ir.Graph) else None

    def attribute(self, name: str) -> Any:
        """Return the value of an attribute, or None where it is absent.

        Raises:
            Inexpressible: If it is a parameter of the enclosing function, so not known here.
        """
        found = self.node.attributes.get(name)
        if found is None:
            return None
        if found.is_ref():
            raise Inexpressible(f"its attribute {name!r} is a parameter of the local function")
        return found.value

    def set(self, name: str, value: Any) -> None:
        """Set an attribute; None removes it."""
        self.node.attributes.pop(name, None)
        if value is not None:
            self.node.attributes[name] = _attribute(name, value)

    def input(self, index: int) -> ir.Value | None:
        """Return an input, or None where it is absent."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def needed(self, index: int) -> ir.Value:
        """Return an input that the operator cannot do without."""
        value = self.input(index)
        if value is None:
            raise Inexpressible(f"it lacks input {index}")
        return value

    def set_input(self, index: int, value: ir.Value | None) -> None:
        """Set an input, adding absent ones before it, or remove it and all after it."""
        if value is None:
            self.node.resize_inputs(min(index, len(self.node.inputs)))
            return
        if index >= len(self.node.inputs):
            self.node.resize_inputs(index + 1)
        self.node.replace_input_with(index, value)

    def ints(self, index: int, what: str) -> tuple[int, ...] | None:
        """Return a constant integer input flattened; None where the input is absent.

        Raises:
            Inexpressible: If it is computed.
        """
        value = self.input(index)
        if value is None:
            return None
        found = constant_ints(value)
        if found is None:
            raise Inexpressible(f"its {what} ({value.name!r}) are computed, not constant")
        return found

    def scalar(self, index: int, what: str) -> float | None:
        """Return a constant scalar input; None where it is absent; raises as :meth:`ints`."""
        value = self.input(index)
        if value is None:
            return None
        tensor = constant_tensor(value)
        if tensor is None or tensor.size != 1:
            raise Inexpressible(f"its {what} ({value.name!r}) is computed, not a constant scalar")
        return float(tensor.numpy().reshape(()))

    def rank(self, index: int = 0) -> int | None:
        """Return the rank of an input, or None where it is unknown."""
        value = self.input(index)
        return None if value is None or value.shape is None else len(value.shape)

    def needed_rank(self, index: int = 0) -> int:
        """Return the rank of an input; raises where it is unknown."""
        rank = self.rank(index)
        if rank is None:
            raise Inexpressible("the rank of its input is unknown; run infer-shapes first")
        return rank

    def constant(self, array: Any, dtype: Any = np.int64) -> ir.Value:
        """Insert a Constant node and return its output.

        Args:
            array: The value; anything numpy takes.
            dtype: A numpy dtype.
        """
        tensor = ir.Tensor(np.asarray(array, dtype))
        return self.emit("Constant", [], {"value": tensor})

    def emit(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        outputs: int = 1,
    ) -> ir.Value:
        """Insert a node of :attr:`version` before the node; return its first output."""
        return self.emit_many(op_type, inputs, attributes, outputs)[0]

    def emit_many(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        outputs: int = 1,
    ) -> Sequence[ir.Value]:
        """Insert a node of :attr:`version` before the node; return its outputs."""
        made = ir.Node(
            "",
            op_type,
            inputs,
            [
                value
                if isinstance(value, ir.Attr)
                else ir.convenience.convert_attribute(key, value)
                for key, value in (attributes or {}).items()
                if value is not None
            ],
            num_outputs=outputs,
        )
        for value in made.outputs:
            value.name = self.names.fresh(f"{self.node.outputs[0].name}_{op_type}")
        self.adopt(made)
        return made.outputs

    def adopt(self, made: ir.Node) -> None:
        """Insert a node, made for :attr:`version`, before the node, and infer its types."""
        graph = self.node.graph
        assert graph is not None
        for node in (made, *nested_nodes(made)):
            node.name = next(value.name for value in node.outputs if value.name)
        made.metadata_props.update(self.node.metadata_props)
        graph.insert_before(self.node, made)
        infer_outputs(made, self.version)
        self.emitted.append((made, self.version))
        self.emitted.extend((inner, self.version) for inner in nested_nodes(made))

    def replace(self, values: Sequence[ir.Value | None]) -> None:
        """Let outputs of new nodes take the place, name and type of the node's outputs.

        Args:
            values: One output of a new node for each output; None for one that nothing reads.
        """
        node, graph = self.node, self.node.graph
        assert graph is not None
        for old, new in zip(node.outputs, values, strict=False):
            if new is None:
                continue
            name, kind, shape = old.name, old.type, old.shape
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            old.name = None
            new.name = name
            new.type = kind or new.type
            new.shape = shape if shape is not None else new.shape
        graph.remove(node, safe=True)
        self.replaced = True

    def drop_unread(self) -> None:
        """Remove new nodes that nothing reads, such as those behind an optional output."""
        for made, _ in reversed(self.emitted):
            read = any(value.uses() or value.is_graph_output() for value in made.outputs)
            if made.graph is not None and made.graph is self._graph and not read:
                made.graph.remove(made, safe=True)
