"""Following sizes through a model: the dims of every value, and the items of shape computations.

Operators whose result has the size that an input's *items* say (Reshape, Expand, …) have rules of
their own; all others are left to ONNX's own inference, node by node, with expressions in the place
of names.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import onnx
import onnx_ir as ir

from irconv.graph.attribute_keys import attributes_key
from irconv.graph.constants import constant_tensor
from irconv.graph.symbolic.dims import Dims, Items, stated_dims
from irconv.graph.symbolic.expression import Dim, unknown_size
from irconv.graph.symbolic.items import ITEM_RULES, constant_items
from irconv.graph.walk import subgraphs_of

__all__ = ["Sizes"]

_NamedDims = tuple[int | str, ...]
_Operand = tuple[ir.DataType, _NamedDims | None, bytes | None]
"""Dtype and dims of an operand, and the content of a small constant."""
_Inferred = tuple[ir.DataType, _NamedDims | None]
_UNTYPED: _Operand = (ir.DataType.UNDEFINED, None, None)
_MAX_ITEMS = 64
_INTEGERS = frozenset({ir.DataType.INT32, ir.DataType.INT64})
"""Dtypes of the constants that can tell a result's size."""
_SIZED_BY_FLOATS = frozenset({"Range", "Resize", "Upsample"})
"""Operators of which float operands can tell it too."""


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
        self._inferred: dict[Hashable, list[_Inferred | None]] = {}
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

    def put_in_place(self, old: ir.Value, new: ir.Value) -> None:
        """Say that a new value has the sizes and the dtype of an old one, in whose place it is."""
        self._dims[new] = self.dims(old)
        dtype = self.dtype(old)
        if dtype is not None:
            self._dtypes[new] = dtype
        items = self.items(old)
        if items is not None:
            self._items[new] = items

    def items(self, value: ir.Value | None) -> Items | None:
        """Return what is known of the items of a small tensor of integers or bools."""
        self._follow()
        if value is None:
            return None
        return self._items.get(value) or constant_items(value)

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return the dtype that the model states, or that follows from its inputs or its data."""
        self._follow()
        if value.dtype is not None:
            return value.dtype
        if value not in self._dtypes:
            tensor = constant_tensor(value)
            return None if tensor is None else tensor.dtype
        return self._dtypes[value]

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
        """Let ONNX infer the results, once for all nodes that differ in names only."""
        if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return
        names = _Names()
        shaping = _INTEGERS | {ir.DataType.FLOAT} if node.op_type in _SIZED_BY_FLOATS else _INTEGERS
        operands = [self._operand(value, names, shaping) for value in node.inputs]
        if _UNTYPED in operands:
            return
        key = (
            node.op_type,
            attributes_key(node),
            tuple(operands),
            tuple(bool(value.name) for value in node.outputs),
        )
        if key not in self._inferred:
            self._inferred[key] = _inferred_dims(node, operands, self._opset)
        for value, found in zip(node.outputs, self._inferred[key], strict=True):
            if found is None:
                continue
            dtype, dims = found
            self._dtypes[value] = dtype
            if dims is not None:
                self._dims[value] = tuple(names.dim(dim) for dim in dims)

    def _operand(
        self, value: ir.Value | None, names: _Names, shaping: frozenset[ir.DataType]
    ) -> _Operand | None:
        """Return dtype and dims of an input, and its items where a result's size may need them."""
        if value is None:
            return None
        dtype = self.dtype(value)
        if dtype is None or not isinstance(value.type, ir.TensorType | None):
            return _UNTYPED
        dims = self.dims(value)
        named = None if dims is None else tuple(names.name(dim) for dim in dims)
        tensor = constant_tensor(value)
        if tensor is None or tensor.dtype not in shaping or tensor.size > _MAX_ITEMS:
            return (dtype, named, None)
        return (dtype, named, tensor.tobytes())


def _inferred_dims(
    node: ir.Node, operands: Sequence[_Operand | None], opset: int
) -> list[_Inferred | None]:
    """Return for each output what ONNX infers; None where it infers nothing."""
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for value, operand in zip(node.inputs, operands, strict=True):
        if value is None or operand is None:
            continue
        name = value.name or ""
        dtype, dims, items = operand
        types[name] = onnx.helper.make_tensor_type_proto(int(dtype), dims)
        if items is not None and dims is not None:
            data[name] = onnx.helper.make_tensor(name, int(dtype), dims, items, raw=True)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        found = onnx.shape_inference.infer_node_outputs(
            schema, ir.to_proto(node), types, data, ir_version=_IR_VERSION
        )
    except _NOT_INFERRED:
        return [None] * len(node.outputs)
    return [_read(found.get(value.name or "")) for value in node.outputs]


def _read(proto: onnx.TypeProto | None) -> _Inferred | None:
    if proto is None or not proto.tensor_type.elem_type:
        return None
    dtype = ir.DataType(proto.tensor_type.elem_type)
    if not proto.tensor_type.HasField("shape"):
        return dtype, None
    dims = proto.tensor_type.shape.dim
    return dtype, tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims
    )


class _Names:
    """Names that stand for the expressions of one node, in the order of their first use."""

    def __init__(self) -> None:
        self._expressions: dict[str, Dim] = {}
        self._known: dict[Dim, str] = {}

    def name(self, dim: Dim) -> int | str:
        if isinstance(dim, int):
            return dim
        if dim not in self._known:
            name = f"d{len(self._known)}"
            self._known[dim], self._expressions[name] = name, dim
        return self._known[dim]

    def dim(self, named: int | str) -> Dim:
        """Return the expression of a name; of one that is not known, an unknown size."""
        if isinstance(named, int):
            return named
        return self._expressions.get(named) or unknown_size()


_NOT_INFERRED = (
    onnx.checker.ValidationError,
    onnx.defs.SchemaError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
)
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_IR_VERSION = 10
