"""Following sizes through a model: the dims of every value, and the items of shape computations.

Operators whose result has the size that an input's *items* say (Reshape, Expand, …) have rules of
their own; all others are left to ONNX's own inference, node by node, with expressions in the place
of names.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.symbolic.dims import Dim, Dims, Items, stated_dims, unknown_size
from irconv.graph.symbolic.items import ITEM_RULES, constant_items
from irconv.graph.walk import subgraphs_of

__all__ = ["Sizes"]

_MAX_ITEMS = 64
_SHAPING = frozenset({ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64})
"""Dtypes of the constants that can tell a result's size."""


class Sizes:
    """What is known of the sizes in a model's main graph and in the bodies inside it.

    Names of dimensions mean the same size wherever inputs of the main graph bear them. What the
    model states of other values counts for its rank and its integers only.

    The model is followed when the first question is asked, as it is then; linear in nodes.

    Args:
        model: The model, in topological order.
    """

    def __init__(self, model: ir.Model) -> None:
        self._dims: dict[ir.Value, Dims | None] = {}
        self._items: dict[ir.Value, Items] = {}
        self._dtypes: dict[ir.Value, ir.DataType] = {}
        self._opset = model.graph.opset_imports.get("", 1)
        self._functions = frozenset(model.functions)
        self._unvisited: ir.Graph | None = model.graph

    def _follow(self) -> None:
        graph, self._unvisited = self._unvisited, None
        if graph is not None:
            for value in graph.inputs:
                self._dims[value] = stated_dims(value.shape, named=True)
            self._graph(graph)

    def dims(self, value: ir.Value | None) -> Dims | None:
        """Return the dims of a value, or None where its rank is not known."""
        self._follow()
        if value is None:
            return None
        if value not in self._dims:
            tensor = constant_tensor(value)
            self._dims[value] = (
                tuple(tensor.shape.numpy())
                if tensor is not None
                else stated_dims(value.shape, named=False)
            )
        return self._dims[value]

    def items(self, value: ir.Value | None) -> Items | None:
        """Return what is known of the items of a small tensor of integers or bools."""
        self._follow()
        if value is None:
            return None
        return self._items.get(value) or constant_items(value)

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return the dtype that the model states, or that follows from its inputs."""
        self._follow()
        return self._dtypes.get(value) if value.dtype is None else value.dtype

    def _graph(self, graph: ir.Graph) -> None:
        for node in graph:
            for body in subgraphs_of(node):
                self._graph(body)
            self._visit(node)

    def _visit(self, node: ir.Node) -> None:
        if node.domain != "" or node.op_identifier() in self._functions or not node.inputs:
            return
        if any(attribute.is_ref() for attribute in node.attributes.values()):
            return
        from irconv.graph.symbolic.results import RESULT_RULES

        rule = RESULT_RULES.get(node.op_type)
        dims = None if rule is None else rule(node, self)
        if dims is None or node.outputs[0].dtype is None:
            self._infer(node)
        if dims is not None:
            self._dims[node.outputs[0]] = dims
        item_rule = ITEM_RULES.get(node.op_type)
        items = None if item_rule is None else item_rule(node, self)
        if items is not None:
            self._items[node.outputs[0]] = items

    def _infer(self, node: ir.Node) -> None:
        """Let ONNX infer the results, with names that stand for the expressions."""
        if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return
        names = _Names()
        types, data = self._operands(node, names)
        if types is None:
            return
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opset, "")
            found = onnx.shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, ir_version=_IR_VERSION
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, RuntimeError):
            return
        for value in node.outputs:
            proto = found.get(value.name or "")
            if proto is not None and proto.tensor_type.elem_type:
                self._dtypes[value] = ir.DataType(proto.tensor_type.elem_type)
            if proto is not None and proto.tensor_type.HasField("shape"):
                dims = tuple(names.dim(dim) for dim in proto.tensor_type.shape.dim)
                self._dims[value] = dims

    def _operands(
        self, node: ir.Node, names: _Names
    ) -> tuple[dict[str, onnx.TypeProto] | None, dict[str, onnx.TensorProto]]:
        types: dict[str, onnx.TypeProto] = {}
        data: dict[str, onnx.TensorProto] = {}
        for value in node.inputs:
            if value is None:
                continue
            dtype = self.dtype(value)
            if dtype is None or (
                value.type is not None and not isinstance(value.type, ir.TensorType)
            ):
                return None, data
            name = value.name or ""
            types[name] = names.type_of(dtype, self.dims(value))
            tensor = constant_tensor(value)
            if tensor is not None and tensor.dtype in _SHAPING and tensor.size <= _MAX_ITEMS:
                data[name] = ir.to_proto(ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name))
        return types, data


class _Names:
    """Names that stand for the expressions of one node."""

    def __init__(self) -> None:
        self._expressions: dict[str, Dim] = {}
        self._known: dict[Dim, str] = {}

    def type_of(self, dtype: ir.DataType, dims: Dims | None) -> onnx.TypeProto:
        shape = None if dims is None else [self._name(dim) for dim in dims]
        return onnx.helper.make_tensor_type_proto(int(dtype), shape)

    def _name(self, dim: Dim) -> int | str:
        if isinstance(dim, int):
            return dim
        if dim not in self._known:
            name = f"d{len(self._known)}"
            self._known[dim], self._expressions[name] = name, dim
        return self._known[dim]

    def dim(self, proto: onnx.TensorShapeProto.Dimension) -> Dim:
        if proto.HasField("dim_value"):
            return proto.dim_value
        return self._expressions.get(proto.dim_param) or unknown_size()


_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_IR_VERSION = 10
