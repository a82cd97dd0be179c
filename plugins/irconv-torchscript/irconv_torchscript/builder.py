"""Building a ``torch.fx`` graph from a graph of the IR."""

from __future__ import annotations

import importlib
import keyword
import re
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv_torchscript.dtypes import CARRIERS, INTERFACE
from irconv_torchscript.held import Held, Ints, Node, annotation
from irconv_torchscript.registry import lookup
from irconv_torchscript.site import Site
from irconv_torchscript.weights import to_torch

__all__ = ["GraphBuilder", "identifier"]

_FEW = 1 << 16


def identifier(name: str, taken: set[str]) -> str:
    """Return a Python identifier like ``name`` that is not in ``taken``, and add it there."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII) or "value"
    if stem[0].isdigit() or stem[0] == "_" or keyword.iskeyword(stem) or stem in _RESERVED:
        stem = f"v_{stem}"
    found, number = stem, 0
    while found in taken:
        number += 1
        found = f"{stem}_{number}"
    taken.add(found)
    return found


_RESERVED = frozenset({"self", "forward", "torch", "training", "inf", "nan", "device", "graph"})


class GraphBuilder:
    """One graph, of the model or of a body, on its way to a ``torch.fx.GraphModule``.

    Args:
        graph: The graph of the IR.
        name: Class name of the module.
    """

    def __init__(self, graph: ir.Graph, name: str = "Model") -> None:
        import torch

        self._torch = torch
        self.source = graph
        self.name = name
        self.root = torch.nn.Module()
        self.fx = torch.fx.Graph()
        self._held: dict[ir.Value, Held] = {}
        self._names: set[str] = set(dir(self.root))
        self._bodies = 0

    def build(self, captured: Sequence[ir.Value] = (), *, is_body: bool = False) -> Any:
        """Return the module; its inputs are those of the graph, then the captured values.

        Args:
            captured: Outer values that the graph reads.
            is_body: Whether it is a body, whose values keep the dtypes of computing.
        """
        fixed = set(self.source.initializers)
        inputs = [value for value in self.source.inputs if is_body or value.name not in fixed]
        for value in (*inputs, *captured):
            self._held[value] = Held(self._placeholder(value, is_body=is_body))
        for node in self.source:
            self._emit(node)
        outputs = [self._output(value, is_body=is_body) for value in self.source.outputs]
        result = outputs[0] if len(outputs) == 1 else tuple(outputs)
        self.fx.output(result, type_expr=_result_type(self.source.outputs))
        module = self._torch.fx.GraphModule(self.root, self.fx, class_name=self.name)
        return module.eval()

    def _placeholder(self, value: ir.Value, *, is_body: bool) -> Node:
        name = identifier(value.name or "value", self._names)
        kind = annotation(value)
        node = self.fx.placeholder(name, type_expr=kind)
        if is_body or kind is not self._torch.Tensor or not self._crosses(value):
            return node
        return self.call("dtypes.from_interface", node, self.dtype(CARRIERS[_dtype(value)]))

    def _output(self, value: ir.Value, *, is_body: bool) -> Node:
        node = self.tensor(value)
        if is_body or not isinstance(value.type, ir.TensorType) or not self._crosses(value):
            return node
        return self.call("dtypes.to_interface", node, self.dtype(INTERFACE[_dtype(value)]))

    @staticmethod
    def _crosses(value: ir.Value) -> bool:
        return CARRIERS.get(_dtype(value)) != INTERFACE.get(_dtype(value))

    def _emit(self, node: ir.Node) -> None:
        entry = lookup(node)
        assert entry is not None, f"{node.op_type} passed the check without a builder"
        made = entry.emit(Site(self, node))
        results = made if isinstance(made, tuple) else (made,)
        for value, result in zip(node.outputs, results, strict=False):
            self._held[value] = result if isinstance(result, Held) else Held(result)

    def constant(self, value: ir.Value | None) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Return the array that a value always has, or None."""
        tensor = constant_tensor(value)
        return None if tensor is None else tensor.numpy()

    def held(self, value: ir.Value) -> Held:
        """Return what a value is in this graph."""
        found = self._held.get(value)
        if found is None:
            tensor = constant_tensor(value)
            assert tensor is not None, f"{value.name!r} is not defined in this graph"
            found = self._held[value] = self.constant_held(value, tensor)
        return found

    def constant_held(self, value: ir.Value, tensor: ir.TensorProtocol) -> Held:
        """Return a constant: integers where they may serve as sizes, else a buffer."""
        if tensor.dtype in _INTEGERS and len(tensor.shape) <= 1 and tensor.size <= _FEW:
            array = tensor.numpy()
            return Held(ints=array.reshape(-1).tolist(), scalar=array.ndim == 0)
        return Held(self.weight(value.name or "constant", tensor.numpy(), tensor.dtype))

    def weight(self, name: str, array: np.ndarray[Any, np.dtype[Any]], dtype: ir.DataType) -> Node:
        """Add a constant tensor as a buffer and return its node."""
        target = identifier(name, self._names)
        self.root.register_buffer(target, to_torch(array, dtype))
        return self.fx.get_attr(target)

    def tensor(self, value: ir.Value) -> Node:
        """Return the node of a value as a tensor, sequence or optional."""
        held = self.held(value)
        if held.tensor is None:
            held.tensor = self._tensor_of_ints(value, held)
        return held.tensor

    def _tensor_of_ints(self, value: ir.Value, held: Held) -> Node:
        assert held.ints is not None
        constant = constant_tensor(value)
        if constant is not None:
            return self.weight(value.name or "constant", constant.numpy(), constant.dtype)
        dtype = self.dtype("int32" if value.dtype == ir.DataType.INT32 else "int64")
        if held.scalar:
            return self.call("shapes.tensor_of_int", held.ints[0], dtype)
        return self.call("shapes.tensor_of_ints", self.int_list(held.ints), dtype)

    def ints(self, value: ir.Value) -> Ints:
        """Return the integers of a value of rank 0 or 1."""
        held = self.held(value)
        if held.ints is not None:
            return held.ints
        constant = self.constant(value)
        if constant is not None:
            return [int(item) for item in constant.reshape(-1).tolist()]
        node = self.call("shapes.ints_of_tensor", held.tensor)
        size = None if value.shape is None or value.shape.rank() != 1 else value.shape[0]
        if isinstance(size, int) and size <= _UNPACKED:
            return [self.item(node, index) for index in range(size)]
        return node

    def item(self, ints: Ints, index: int) -> Node:
        """Return one of several integers."""
        import operator

        if isinstance(ints, list):
            return ints[index]
        return self.fx.call_function(operator.getitem, (ints, index))

    def int_list(self, ints: Ints) -> Any:
        """Return integers as an argument of type list[int]."""
        return self.call("shapes.no_ints") if isinstance(ints, list) and not ints else ints

    def dtype(self, name: str) -> Any:
        """Return the torch dtype of a name."""
        return getattr(self._torch, name)

    def call(self, kernel: str, *arguments: Any) -> Node:
        """Call a function of :mod:`irconv_torchscript.kernels`, named as ``module.function``."""
        module, _, name = kernel.rpartition(".")
        function = getattr(importlib.import_module(f"irconv_torchscript.kernels.{module}"), name)
        return self.fx.call_function(function, arguments)

    def submodule(self, prefix: str, module: Any) -> str:
        """Attach a module and return its name."""
        self._bodies += 1
        name = identifier(f"{prefix}_{self._bodies}", self._names)
        self.root.add_module(name, module)
        return name


def _dtype(value: ir.Value) -> ir.DataType:
    return value.dtype or ir.DataType.UNDEFINED


def _result_type(outputs: Sequence[ir.Value]) -> Any:
    kinds = tuple(annotation(value) for value in outputs)
    return kinds[0] if len(kinds) == 1 else types.GenericAlias(tuple, kinds)


_UNPACKED = 8
_INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)
