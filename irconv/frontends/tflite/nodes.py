"""Adding ONNX nodes to one graph, and constants to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv.graph.reading.mapped import MappedTensor
from irconv.passes.opset.infer import infer_outputs

if TYPE_CHECKING:
    from irconv.runtime.base import Array

__all__ = ["Nodes", "Pool"]

_SMALL = 4096
_OPSET = 21


class Pool:
    """Names and constants of a whole model; bodies see the constants of the main graph.

    Attributes:
        graph: The main graph, which has the constants.
    """

    def __init__(self) -> None:
        self.graph = ir.Graph([], [], nodes=[])
        self._known: dict[tuple[Any, ...], ir.Value] = {}
        self._counters: dict[str, int] = {}

    def name(self, base: str) -> str:
        """Return ``base``, or with a number behind it where it is taken."""
        name = base = base or "tensor"
        while name in self._counters:
            self._counters[base] = number = self._counters[base] + 1
            name = f"{base}_{number}"
        self._counters[name] = 0
        return name

    def constant(self, array: Array, base: str = "constant") -> ir.Value:
        """Return a constant; equal small ones are stored once."""
        array = np.asarray(array)
        key: tuple[Any, ...] | None = None
        if array.nbytes <= _SMALL and array.dtype != object:
            key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes())
            if key in self._known:
                return self._known[key]
        name = self.name(base)
        if array.dtype == object:
            texts = [str(text).encode() for text in array.reshape(-1)]
            tensor: ir.TensorProtocol = ir.StringTensor(
                texts, shape=ir.Shape(array.shape), name=name
            )
        else:
            tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = self._add(tensor)
        if key is not None:
            self._known[key] = value
        return value

    def shared(self, key: tuple[Any, ...], make: Callable[[], Array], base: str) -> ir.Value:
        """Return a constant that is made once, however often it is asked for.

        Args:
            key: What it is made of, and how.
            make: Makes it.
            base: Name for it.
        """
        if key not in self._known:
            self._known[key] = self.constant(make(), base)
        return self._known[key]

    def mapped(self, array: Array, base: str, path: Path, offset: int) -> ir.Value:
        """Return a constant that stays in its file.

        Args:
            array: A view of the bytes in the file.
            base: Name for it.
            path: The file.
            offset: First byte of it.
        """
        key = ("mapped", offset, array.dtype.str, array.shape)
        if key not in self._known:
            like = ir.Tensor(array, name=self.name(base))
            self._known[key] = self._add(MappedTensor(path, offset, like))
        return self._known[key]

    def _add(self, tensor: ir.TensorProtocol) -> ir.Value:
        value = ir.Value(
            name=tensor.name,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape.numpy()),
            const_value=tensor,
        )
        self.graph.initializers.add(value)
        return value


class Nodes:
    """The nodes of one graph, in order.

    Args:
        pool: The model's names and constants.

    Attributes:
        pool: The model's names and constants.
        nodes: What was added.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.nodes: list[ir.Node] = []

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Add a node with one output and return that."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def ops(
        self, op_type: str, outputs: int, *inputs: ir.Value | None, **attributes: Any
    ) -> Sequence[ir.Value]:
        """Add a node with several outputs; attributes that are None are left out."""
        operands = list(inputs)
        while operands and operands[-1] is None:
            operands.pop()
        node = ir.node(
            op_type,
            operands,
            attributes={name: value for name, value in attributes.items() if value is not None},
            num_outputs=outputs,
            name=self.pool.name(f"{op_type}_node"),
        )
        for output in node.outputs:
            output.name = self.pool.name(f"{op_type}_value")
        self.nodes.append(node)
        infer_outputs(node, _OPSET)
        return node.outputs

    def constant(self, array: Any, dtype: str | None = None) -> ir.Value:
        """Return a constant of numbers that the caller made up."""
        return self.pool.constant(np.asarray(array, dtype))

    def ints(self, numbers: Sequence[int]) -> ir.Value:
        """Return a constant int64 vector."""
        return self.constant(list(numbers), "int64")

    def cast(self, value: ir.Value, dtype: str) -> ir.Value:
        """Convert to a dtype."""
        return self.op("Cast", value, to=ONNX_DTYPES[dtype].value)

    def transpose(self, value: ir.Value, permutation: Sequence[int]) -> ir.Value:
        """Permute dimensions; nothing is added where they stay."""
        if list(permutation) == list(range(len(permutation))):
            return value
        return self.op("Transpose", value, perm=list(permutation))

    def reshape(self, value: ir.Value, sizes: Sequence[int]) -> ir.Value:
        """Reshape to sizes that are known, of which one may be -1."""
        return self.op("Reshape", value, self.ints(sizes), allowzero=int(0 in sizes) or None)

    def unsqueeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """Insert dimensions of size 1."""
        return self.op("Unsqueeze", value, self.ints(axes))

    def squeeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """Drop dimensions of size 1."""
        return self.op("Squeeze", value, self.ints(axes))

    def slice(
        self,
        value: ir.Value,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> ir.Value:
        """Cut out a part whose bounds are known."""
        step = None if steps is None or set(steps) == {1} else self.ints(steps)
        return self.op("Slice", value, self.ints(starts), self.ints(ends), self.ints(axes), step)

    def sizes(self, value: ir.Value) -> ir.Value:
        """Return the shape as an int64 vector."""
        return self.op("Shape", value)


ONNX_DTYPES: dict[str, ir.DataType] = {
    "float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16, "float64": ir.DataType.DOUBLE,
    "bfloat16": ir.DataType.BFLOAT16, "int8": ir.DataType.INT8, "int16": ir.DataType.INT16,
    "int32": ir.DataType.INT32, "int64": ir.DataType.INT64, "uint8": ir.DataType.UINT8,
    "uint16": ir.DataType.UINT16, "uint32": ir.DataType.UINT32, "uint64": ir.DataType.UINT64,
    "bool": ir.DataType.BOOL, "string": ir.DataType.STRING,
    "int4": ir.DataType.INT8, "uint4": ir.DataType.UINT8, "int2": ir.DataType.INT8,
}  # fmt: skip
"""The ONNX dtype that holds a TFLite dtype; packed integers are unpacked."""
