"""Rewriting a model into the chosen forms, with the transposes that are left."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.edit import detach
from irconv.graph.names import NameAllocator
from irconv.graph.unread import drop_unread
from irconv.graph.walk import subgraphs_of
from irconv.passes.layout.aliases import transpose_order
from irconv.passes.layout.form import Form
from irconv.passes.layout.permutation import (
    Permutation,
    identity,
    inverse,
    is_identity,
    permuted_shape,
)

__all__ = ["Rewriter"]


class Rewriter:
    """Rewrites one model.

    Args:
        model: The model.
        forms: The form of each node that changes its layout.
        suffix: What is put behind the names of values that are held in another order.
        views: The transposes that go, and come again where they are needed; all, if not given.

    Attributes:
        transposes: How many transposes the model has got.
    """

    def __init__(
        self,
        model: ir.Model,
        forms: dict[ir.Node, Form],
        suffix: str,
        views: Container[ir.Node] | None = None,
    ) -> None:
        self._model = model
        self._forms = forms
        self._suffix = suffix
        self._views = views
        self._names = NameAllocator(model)
        self._held: dict[ir.Value, tuple[ir.Value, Permutation]] = {}
        self._made: dict[tuple[ir.Value, Permutation], ir.Value] = {}
        self._constants: dict[tuple[ir.Value, Permutation], ir.Value] = {}
        self._removed: list[ir.Node] = []
        self.transposes = 0

    def run(self) -> None:
        """Rewrite the main graph and all bodies in it; linear in nodes."""
        self._graph(self._model.graph)
        read = dict.fromkeys(value for node in self._removed for value in node.inputs)
        for node in self._removed:
            detach(node)
        for node in self._removed:
            assert node.graph is not None
            node.graph.remove(node, safe=True)
        for value in read:
            drop_unread(value)

    def _graph(self, graph: ir.Graph) -> None:
        for node in list(graph):
            if node in self._forms:
                self._convert(node, self._forms[node])
            elif (order := transpose_order(node)) is not None and self._is_view(node):
                self._view(node, order)
            else:
                self._keep(node)
        for position, value in enumerate(graph.outputs):
            if value in self._held:
                graph.outputs[position] = self._output(graph, value)

    def _keep(self, node: ir.Node) -> None:
        for index, value in enumerate(node.inputs):
            if value is not None and value in self._held:
                node.replace_input_with(index, self._plain(value))
        for body in subgraphs_of(node):
            self._graph(body)

    def _is_view(self, node: ir.Node) -> bool:
        if self._views is not None and node not in self._views:
            return False
        return node.inputs[0] is not None and node.inputs[0].shape is not None

    def _view(self, node: ir.Node, order: Permutation) -> None:
        """Forget a transpose; what reads its result will ask for the order that it wants."""
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        base, held = self._held.get(source, (source, identity(len(order))))
        undone = inverse(order)
        self._held[result] = (base, tuple(undone[axis] for axis in held))
        self._removed.append(node)

    def _convert(self, node: ir.Node, form: Form) -> None:
        inputs: list[ir.Value | None] = []
        for index, order in enumerate(form.inputs):
            value = node.inputs[index] if index < len(node.inputs) else None
            if index in form.constants:
                name = f"{node.outputs[0].name}_operand"
                inputs.append(self._constant(name, form.constants[index]))
            elif value is None:
                inputs.append(None)
            else:
                inputs.append(self._plain(value) if order is None else self._ordered(value, order))
        attributes = {**node.attributes, **form.attributes}
        if form.picks is None:
            pairs = zip(node.outputs, form.outputs, strict=True)
            results = [self._result(value, order) for value, order in pairs]
        else:
            name = self._names.fresh(f"{node.outputs[0].name}_{self._suffix}")
            rank = len(form.inputs[0] or ())
            results = [ir.Value(name=name, type=node.outputs[0].type, shape=ir.Shape([rank]))]
        new = ir.Node(
            form.domain,
            form.op_type,
            inputs,
            [item for key, item in attributes.items() if key not in form.dropped],
            outputs=results,
            name=node.name,
        )
        assert node.graph is not None
        node.graph.insert_before(node, new)
        if form.picks is not None:
            self._pick(node, results[0], form.picks)
        self._removed.append(node)

    def _result(self, value: ir.Value, order: Permutation | None) -> ir.Value:
        if order is None:
            result = ir.Value(name=value.name, type=value.type, shape=value.shape)
            self._held[value] = (result, identity(len(value.shape or ())))
            return result
        name = self._fresh(value) if value.name else ""
        shape = permuted_shape(value.shape, order)
        result = ir.Value(name=name, type=value.type, shape=shape)
        self._held[value] = (result, order)
        return result

    def _pick(self, node: ir.Node, shape: ir.Value, picks: Sequence[int]) -> None:
        """Put the items of a shape into the order of the source."""
        value = node.outputs[0]
        indices = self._constant(f"{value.name}_order", np.array(picks, np.int64))
        result = ir.Value(name=value.name, type=value.type, shape=value.shape)
        name = self._names.fresh(f"{value.name}_picked")
        gather = ir.Node("", "Gather", [shape, indices], outputs=[result], name=name)
        assert node.graph is not None
        node.graph.insert_before(node, gather)
        self._held[value] = (result, (0,))

    def _plain(self, value: ir.Value) -> ir.Value:
        """Return a value in the order of the source."""
        if value not in self._held:
            return value
        base, held = self._held[value]
        if base.shape is None or is_identity(held):
            return base
        return self._transposed(value, identity(len(held)))

    def _ordered(self, value: ir.Value, order: Permutation) -> ir.Value:
        """Return a value in another order, broadcast to its rank where it has fewer dims."""
        tensor = constant_tensor(value)
        if tensor is not None:
            return self._ordered_constant(value, tensor, order)
        assert value.shape is not None
        missing = len(order) - len(value.shape)
        if missing:
            value = self._widened(self._plain(value), missing)
        return self._transposed(value, order)

    def _transposed(self, value: ir.Value, order: Permutation) -> ir.Value:
        base, held = self._held.get(value, (value, identity(len(order))))
        undone = inverse(held)
        permutation = tuple(undone[axis] for axis in order)
        if is_identity(permutation):
            return base
        if (base, permutation) not in self._made:
            fresh = self._fresh(value)
            result = ir.Value(
                name=value.name if is_identity(order) else fresh,
                type=base.type,
                shape=permuted_shape(base.shape, permutation),
            )
            perm = ir.AttrInt64s("perm", permutation)
            node = ir.Node("", "Transpose", [base], [perm], outputs=[result], name=fresh)
            _insert_after(base, node)
            self._made[base, permutation] = result
            self.transposes += 1
        return self._made[base, permutation]

    def _widened(self, value: ir.Value, missing: int) -> ir.Value:
        """Return a value with dimensions of size 1 in front."""
        key = (value, identity(missing))
        if key not in self._made:
            assert value.shape is not None
            shape = ir.Shape([*[1] * missing, *value.shape])
            name = self._names.fresh(f"{value.name}_wide")
            axes = self._constant(f"{name}_axes", np.arange(missing))
            result = ir.Value(name=name, type=value.type, shape=shape)
            node = ir.Node("", "Unsqueeze", [value, axes], outputs=[result], name=name)
            _insert_after(value, node)
            self._made[key] = result
        return self._made[key]

    def _ordered_constant(
        self, value: ir.Value, tensor: ir.TensorProtocol, order: Permutation
    ) -> ir.Value:
        missing = len(order) - len(tensor.shape)
        if tensor.size == 1 and missing:
            return value
        if (value, order) not in self._constants:
            array = tensor.numpy()
            array = array.reshape((1,) * missing + array.shape).transpose(order)
            if missing:
                array = array.reshape(_without_leading_ones(array.shape))
            data = ir.Tensor(np.ascontiguousarray(array), dtype=tensor.dtype)
            self._constants[value, order] = self._initializer(f"{value.name}_{self._suffix}", data)
        return self._constants[value, order]

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        return self._initializer(name, ir.Tensor(array))

    def _initializer(self, name: str, tensor: ir.Tensor[np.ndarray]) -> ir.Value:
        value = ir.Value(
            name=self._names.fresh(name),
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape),
            const_value=tensor,
        )
        self._model.graph.register_initializer(value)
        return value

    def _fresh(self, value: ir.Value) -> str:
        return self._names.fresh(f"{value.name}_{self._suffix}")

    def _output(self, graph: ir.Graph, value: ir.Value) -> ir.Value:
        """Return what stands for an output of a graph, under the output's name."""
        result = self._plain(value)
        inner = result.producer() is not None and result.graph is graph
        if result is value or (inner and result.name == value.name):
            return result
        if inner and not result.is_graph_output():
            result.name = value.name
            return result
        if result.name == value.name:  # made outside of the body that gives it
            result.name = self._fresh(value)
        copy = ir.Value(name=value.name, type=value.type, shape=value.shape)
        node = ir.Node("", "Identity", [result], outputs=[copy], name=self._fresh(value))
        graph.append(node)
        self._held[value] = (copy, identity(len(value.shape or ())))
        return copy


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((index for index, dim in enumerate(shape) if dim != 1), len(shape) - 1)
    return shape[first:]


def _insert_after(value: ir.Value, node: ir.Node) -> None:
    """Insert a node where everything that sees ``value`` sees the node's result."""
    producer = value.producer()
    graph = value.graph
    assert graph is not None
    if producer is not None:
        graph.insert_after(producer, node)
    elif len(graph):
        graph.insert_before(graph[0], node)
    else:
        graph.append(node)
