"""One node of the IR as its builder sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv_torchscript.dtypes import CARRIERS
from irconv_torchscript.held import Held, Ints, Node

if TYPE_CHECKING:
    from irconv_torchscript.builder import GraphBuilder

__all__ = ["Site", "attribute", "const_ints"]


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """Return the value of an attribute, or the default where it is left out."""
    found = node.attributes.get(name)
    if found is None:
        return default
    if found.type == ir.AttributeType.STRING:
        return found.as_string()
    if found.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS):
        return list(found.value)
    return found.value


def const_ints(node: ir.Node, index: int) -> list[int] | None:
    """Return a constant integer input as Python integers, or None."""
    from irconv.graph.constants import constant_ints

    value = node.inputs[index] if index < len(node.inputs) else None
    found = constant_ints(value)
    return None if found is None else list(found)


class Site:
    """A node, its operands in the graph under construction, and ways to build on them.

    Args:
        builder: The graph under construction.
        node: The node of the IR.
    """

    def __init__(self, builder: GraphBuilder, node: ir.Node) -> None:
        self.builder = builder
        self.node = node

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute; the default where it is left out."""
        return attribute(self.node, name, default)

    @property
    def count(self) -> int:
        """The number of inputs, left-out ones at the end not counted."""
        return max((i + 1 for i, value in enumerate(self.node.inputs) if value is not None),
                   default=0)  # fmt: skip

    def value(self, index: int) -> ir.Value | None:
        """Return an input of the node, or None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def given(self, index: int) -> bool:
        """Return whether an input is given."""
        return self.value(index) is not None

    def tensor(self, index: int) -> Node:
        """Return the node of an input, or None where it is left out."""
        value = self.value(index)
        return None if value is None else self.builder.tensor(value)

    def tensors(self) -> list[Node]:
        """Return the nodes of all inputs."""
        return [self.tensor(index) for index in range(self.count)]

    def held(self, index: int) -> Held:
        """Return what an input is; it must be given."""
        value = self.value(index)
        assert value is not None
        return self.builder.held(value)

    def ints(self, index: int) -> Ints:
        """Return the integers of an input of rank 0 or 1; it must be given."""
        value = self.value(index)
        assert value is not None
        return self.builder.ints(value)

    def int_list(self, index: int) -> Any:
        """Return the integers of an input as an argument of type list[int]."""
        return self.builder.int_list(self.ints(index))

    def integer(self, index: int) -> Any:
        """Return the one integer of an input."""
        return self.builder.item(self.ints(index), 0)

    def list_of(self, ints: Sequence[int]) -> Any:
        """Return integers as an argument of type list[int]."""
        return self.builder.int_list(list(ints))

    def const(self, index: int) -> np.ndarray[Any, np.dtype[Any]] | None:
        """Return the array that an input always has, or None."""
        return self.builder.constant(self.value(index))

    def dtype(self, index: int = 0) -> ir.DataType:
        """Return the dtype of an input; UNDEFINED where nothing is known."""
        value = self.value(index)
        return (value.dtype if value is not None else None) or ir.DataType.UNDEFINED

    def out_dtype(self, index: int = 0) -> ir.DataType:
        """Return the dtype of an output; UNDEFINED where nothing is known."""
        return self.node.outputs[index].dtype or ir.DataType.UNDEFINED

    def rank(self, index: int = 0) -> int | None:
        """Return the rank of an input, or None where it is unknown."""
        value = self.value(index)
        return None if value is None or value.shape is None else value.shape.rank()

    def dims(self, index: int = 0) -> list[int | None] | None:
        """Return the sizes of an input, None for each that is unknown."""
        value = self.value(index)
        if value is None or value.shape is None:
            return None
        return [dim if isinstance(dim, int) else None for dim in value.shape]

    def torch_dtype(self, dtype: ir.DataType) -> Any:
        """Return the torch dtype that carries an ONNX dtype."""
        return self.builder.dtype(CARRIERS[dtype])

    def call(self, kernel: str, *arguments: Any) -> Node:
        """Call a function of :mod:`irconv_torchscript.kernels`, named as ``module.function``."""
        return self.builder.call(kernel, *arguments)

    def torch(self, name: str, *arguments: Any, **options: Any) -> Node:
        """Call a function of torch, such as ``conv2d`` or ``nn.functional.pad``."""
        import torch

        function: Any = torch
        for part in name.split("."):
            function = getattr(function, part)
        return self.builder.fx.call_function(function, arguments, options)

    def method(self, name: str, *arguments: Any, **options: Any) -> Node:
        """Call a method of the first argument."""
        return self.builder.fx.call_method(name, arguments, options)

    def item(self, node: Node, index: Any) -> Node:
        """Return one item of a tuple or list, or a part of a tensor."""
        import operator

        return self.builder.fx.call_function(operator.getitem, (node, index))

    def items(self, node: Node, number: int) -> tuple[Node, ...]:
        """Return the first items of a tuple or list."""
        return tuple(self.item(node, index) for index in range(number))
