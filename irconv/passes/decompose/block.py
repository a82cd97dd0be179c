"""Making nodes: a run of new nodes of the default domain, or the body of a new Loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from irconv.graph.names import NameAllocator
from irconv.passes.opset.infer import infer_outputs

__all__ = ["Block", "Dim", "Keep", "Operand"]

Operand = ir.Value | npt.NDArray[Any] | Sequence[int] | int | float | bool | None
"""What an operator may be given: see :meth:`Block.op`."""
Dim = int | ir.Value
"""A size: known, or an int64 tensor of one element."""


class Keep(Exception):  # noqa: N818 - a finding about a node, reported as a refusal
    """A node stays as it is; the text says why."""


class Block:
    """A run of new nodes whose types are inferred while they are made.

    Args:
        names: Gives fresh names for the new values.
        version: The opset version of the default domain.
        stem: What the names of new values begin with.
    """

    def __init__(self, names: NameAllocator, version: int, stem: str) -> None:
        self.names = names
        self.version = version
        self.stem = stem
        self.nodes: list[ir.Node] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    def op(self, op_type: str, *operands: Operand, **attributes: Any) -> ir.Value:
        """Add a node and return its only output.

        Args:
            op_type: An operator of the default domain.
            operands: Values; arrays, which become constants; sequences of ints, which become
                int64 tensors of rank 1; numbers, which become scalars of the dtype of the first
                value; None for an absent input.
            attributes: Attributes; one that is None is left out.
        """
        return self.ops(op_type, *operands, outputs=1, **attributes)[0]

    def ops(
        self, op_type: str, *operands: Operand, outputs: int, **attributes: Any
    ) -> Sequence[ir.Value]:
        """Add a node as :meth:`op` does and return all its outputs."""
        like = next((item for item in operands if isinstance(item, ir.Value)), None)
        node = ir.Node(
            "",
            op_type,
            [self._value(item, like) for item in operands],
            [
                ir.convenience.convert_attribute(name, value)
                for name, value in attributes.items()
                if value is not None
            ],
            num_outputs=outputs,
        )
        for value in node.outputs:
            value.name = self.names.fresh(f"{self.stem}_{op_type}")
        node.name = node.outputs[0].name
        infer_outputs(node, self.version)
        self.nodes.append(node)
        return node.outputs

    def _value(self, item: Operand, like: ir.Value | None) -> ir.Value | None:
        if item is None or isinstance(item, ir.Value):
            return item
        if isinstance(item, np.ndarray):
            return self.constant(item)
        if isinstance(item, (int, float)):
            if like is None:
                raise TypeError("a number needs a value beside it that tells its dtype")
            return self.scalar(item, self.dtype(like))
        return self.constant(np.asarray(item, np.int64))

    def constant(self, array: npt.NDArray[Any]) -> ir.Value:
        """Return a constant; equal ones are one value."""
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            node = ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.Tensor(array))])
            value = node.outputs[0]
            value.name = node.name = self.names.fresh(f"{self.stem}_Constant")
            value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            value.shape = ir.Shape(array.shape)
            self.nodes.append(node)
            self._constants[key] = value
        return self._constants[key]

    def scalar(self, number: float, dtype: ir.DataType) -> ir.Value:
        """Return a constant of rank 0."""
        return self.constant(np.asarray(number).astype(dtype.numpy()))

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Return ``value`` as ``dtype``; itself if it is that already."""
        return value if value.dtype == dtype else self.op("Cast", value, to=int(dtype))

    def dtype(self, value: ir.Value) -> ir.DataType:
        """Return the dtype of a value; keeps the node where it is unknown."""
        if value.dtype is None or value.dtype == ir.DataType.UNDEFINED:
            raise Keep(f"the dtype of {value.name!r} is unknown; run infer-shapes first")
        return value.dtype

    def dims(self, value: ir.Value) -> tuple[int | None, ...]:
        """Return the dims, None for one that is not static; keeps the node at unknown rank."""
        if value.shape is None:
            raise Keep(f"the rank of {value.name!r} is unknown; run infer-shapes first")
        return tuple(dim if isinstance(dim, int) else None for dim in value.shape)

    def rank(self, value: ir.Value) -> int:
        """Return the rank; keeps the node where it is unknown."""
        return len(self.dims(value))

    def static(self, value: ir.Value) -> tuple[int, ...]:
        """Return the shape; keeps the node where a dim is not static."""
        dims = self.dims(value)
        known = tuple(dim for dim in dims if dim is not None)
        if len(known) < len(dims):
            raise Keep(f"the shape of {value.name!r} is dynamic; bind it with --shape")
        return known

    def size(self, value: ir.Value, axis: int) -> Dim:
        """Return the size of an axis, counted from 0."""
        dim = self.dims(value)[axis]
        return self.op("Shape", value, start=axis, end=axis + 1) if dim is None else dim

    def number(self, size: Dim) -> ir.Value:
        """Return a size as an int64 scalar."""
        if isinstance(size, int):
            return self.scalar(size, ir.DataType.INT64)
        return self.op("Squeeze", size, [0])

    def sizes(self, value: ir.Value) -> list[Dim]:
        """Return the size of every axis."""
        return [self.size(value, axis) for axis in range(self.rank(value))]

    def vector(self, parts: Sequence[Dim]) -> ir.Value:
        """Return sizes joined to an int64 tensor of rank 1."""
        if all(isinstance(part, int) for part in parts):
            return self.constant(np.asarray(parts, np.int64))
        values = [part if isinstance(part, ir.Value) else self._one(part) for part in parts]
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=0)

    def _one(self, number: int) -> ir.Value:
        return self.constant(np.asarray([number], np.int64))

    def product(self, parts: Sequence[Dim]) -> Dim:
        """Return the product of sizes; 1 of none."""
        known = int(np.prod([part for part in parts if isinstance(part, int)], dtype=np.int64))
        result: Dim = known
        for part in parts:
            if isinstance(part, ir.Value):
                one = isinstance(result, int) and result == 1
                result = part if one else self.op("Mul", part, self.vector([result]))
        return result

    def reshape(self, value: ir.Value, parts: Sequence[Dim]) -> ir.Value:
        """Return ``value`` in another shape; a size of 0 means 0, not "as before"."""
        empty = 1 if any(isinstance(part, ir.Value) or part == 0 for part in parts) else None
        allow = empty if -1 not in [part for part in parts if isinstance(part, int)] else None
        result = self.op("Reshape", value, self.vector(parts), allowzero=allow)
        if -1 not in [part for part in parts if isinstance(part, int)]:
            result.shape = ir.Shape([part if isinstance(part, int) else None for part in parts])
        return result

    def expand(self, value: ir.Value, parts: Sequence[Dim]) -> ir.Value:
        """Return ``value`` broadcast to a shape."""
        return self.op("Expand", value, self.vector(parts))

    def count(self, size: Dim) -> ir.Value:
        """Return the int64 tensor 0, 1, …, size - 1."""
        if isinstance(size, int):
            return self.constant(np.arange(size, dtype=np.int64))
        return self.op("Range", self.scalar(0, ir.DataType.INT64), self.number(size), 1)

    def along(self, vector: ir.Value, axis: int, rank: int) -> ir.Value:
        """Return a tensor of rank 1 laid along ``axis`` of ``rank``, the other dims being 1."""
        others = [other for other in range(rank) if other != axis]
        return self.op("Unsqueeze", vector, others) if others else vector

    def transpose(self, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """Return the axes in another order; itself where that is the same."""
        same = list(order) == list(range(len(order)))
        return value if same else self.op("Transpose", value, perm=list(order))

    def body(self) -> Block:
        """Return an empty block for the body of a node; it sees the values of this one."""
        return Block(self.names, self.version, self.stem)

    def graph(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Graph:
        """Return this block as a body graph; an output that it did not make is copied."""
        made = {value for node in self.nodes for value in node.outputs}
        results: list[ir.Value] = []
        for value in outputs:
            fresh = value in made and value not in results
            results.append(value if fresh else self.op("Identity", value))
        name = self.names.fresh(f"{self.stem}_body")
        return ir.Graph(
            list(inputs), results, nodes=self.nodes, name=name, opset_imports={"": self.version}
        )

    def input(self, base: str, dtype: ir.DataType, shape: Sequence[int | None]) -> ir.Value:
        """Return a new input of a body graph."""
        return ir.Value(
            name=self.names.fresh(f"{self.stem}_{base}"),
            type=ir.TensorType(dtype),
            shape=ir.Shape(shape),
        )
