"""Where an emitter works: one node, its inputs as MIL values, and the MIL builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.dtypes import INT32_MAX, INT32_MIN, MIL_DTYPES

if TYPE_CHECKING:
    from irconv_coreml.program import Program

__all__ = ["NUMPY_DTYPES", "Dim", "Site", "Var"]

Var = Any
"""A ``coremltools.converters.mil.mil.Var``."""
Dim = int | None

NUMPY_DTYPES: Mapping[str, Any] = {
    "fp32": np.float32,
    "fp16": np.float16,
    "int32": np.int32,
    "bool": np.bool_,
}


class Site:
    """One node that is being written.

    Args:
        node: The node.
        program: The program that it is written into.
    """

    def __init__(self, node: ir.Node, program: Program) -> None:
        self.node = node
        self.program = program
        self.mb = program.mb

    def __len__(self) -> int:
        return len(self.node.inputs)

    def has(self, index: int) -> bool:
        """Return whether an input is given."""
        return ask.given(self.node, index) is not None

    def __getitem__(self, index: int) -> Var:
        """Return an input that is given."""
        value = ask.given(self.node, index)
        assert value is not None
        return self.program.var(value)

    @property
    def x(self) -> Var:
        """The first input."""
        return self[0]

    def all(self) -> list[Var]:
        """Return all inputs."""
        return [self[index] for index in range(len(self.node.inputs))]

    def constant(self, index: int) -> np.ndarray[Any, Any] | None:
        """Return a constant input in the MIL dtype that holds it, or None."""
        array = ask.constant(self.node, index)
        return None if array is None else as_mil(array)

    def ints(self, index: int) -> list[int] | None:
        """Return a constant integer input, flattened, or None."""
        return ask.constant_int_list(self.node, index)

    def int_(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return ask.attr_int(self.node, name, default)

    def float_(self, name: str, default: float) -> float:
        """Return a float attribute."""
        return ask.attr_float(self.node, name, default)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return ask.attr_text(self.node, name, default)

    def int_list(self, name: str) -> list[int] | None:
        """Return a list of integers, or None where the attribute is left out."""
        return ask.attr_ints(self.node, name)

    def dtype(self, index: int) -> ir.DataType:
        """Return the ONNX dtype of an input."""
        found = ask.dtype(self.node, index)
        assert found is not None
        return found

    def out_dtype(self, index: int = 0) -> ir.DataType:
        """Return the ONNX dtype of an output."""
        found = ask.output_dtype(self.node, index)
        assert found is not None
        return found

    def out_mil(self, index: int = 0) -> str:
        """Return the name of the MIL dtype of an output."""
        return MIL_DTYPES[self.out_dtype(index)]

    def out_shape(self, index: int = 0) -> tuple[Dim, ...] | None:
        """Return what the IR knows of the shape of an output."""
        return ask.output_shape(self.node, index)

    def wants(self, index: int) -> bool:
        """Return whether anything reads an output."""
        if index >= len(self.node.outputs):
            return False
        value = self.node.outputs[index]
        return bool(value.uses()) or value.is_graph_output()

    def is_float(self, index: int = 0) -> bool:
        """Return whether an input is held as a float."""
        return MIL_DTYPES[self.dtype(index)].startswith("fp")

    def kind(self, var: Var) -> str:
        """Return the name of the MIL dtype of a value."""
        return self.program.kind(var)

    def cast(self, var: Var, kind: str) -> Var:
        """Return the value in another MIL dtype."""
        return var if self.kind(var) == kind else self.mb.cast(x=var, dtype=kind)

    def like(self, number: float, var: Var) -> Any:
        """Return a number as a NumPy scalar of the value's dtype."""
        return NUMPY_DTYPES[self.kind(var)](number)

    def dims(self, var: Var) -> tuple[Dim, ...]:
        """Return the shape of a MIL value, None for a dim that is not static."""
        return tuple(int(dim) if isinstance(dim, (int, np.integer)) else None for dim in var.shape)

    def axis(self, var: Var, default: int = -1, name: str = "axis") -> int:
        """Return the attribute ``axis`` as a number that is not negative."""
        axis = self.int_(name, default)
        return axis + len(var.shape) if axis < 0 else axis

    def shape_vector(self, var: Var) -> list[Any]:
        """Return the sizes of a value: numbers, and scalars of MIL where they are dynamic."""
        dims = self.dims(var)
        if None not in dims:
            return list(dims)
        whole = self.mb.shape(x=var)
        return [
            self.mb.gather(x=whole, indices=np.int32(index), axis=0) if dim is None else dim
            for index, dim in enumerate(dims)
        ]

    def vector(self, parts: Sequence[Any]) -> Any:
        """Return sizes as one int32 vector: a constant if all are numbers."""
        if all(isinstance(part, (int, np.integer)) for part in parts):
            return np.array(parts, np.int32)
        items = [
            np.array([part], np.int32)
            if isinstance(part, (int, np.integer))
            else self.as_vector(part)
            for part in parts
        ]
        return items[0] if len(items) == 1 else self.mb.concat(values=items, axis=0)

    def as_vector(self, var: Var) -> Var:
        """Return a scalar or a vector of one element as a vector."""
        return self.mb.expand_dims(x=var, axes=[0]) if len(var.shape) == 0 else var

    def as_scalar(self, var: Var) -> Var:
        """Return a value with one element as a scalar."""
        return self.mb.squeeze(x=var) if len(var.shape) else var

    def reshape(self, var: Var, parts: Sequence[Any]) -> Var:
        """Return the value in another shape; parts as in :meth:`vector`."""
        if not len(parts):
            return self.as_scalar(var)
        return self.mb.reshape(x=var, shape=self.vector(parts))


def as_mil(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a constant in the dtype that MIL holds it in.

    Integers outside the range of int32 become its ends, which is what they are used for: the
    far end of a slice or of a range of values. Checks refuse them elsewhere.
    """
    kind = array.dtype
    if kind == np.bool_ or kind == np.float16 or kind == np.float32:
        return array
    if np.issubdtype(kind, np.floating) or kind.name == "bfloat16":
        return array.astype(np.float32)
    wide = array.astype(np.int64) if kind != np.uint64 else np.minimum(array, INT32_MAX)
    narrow: np.ndarray[Any, Any] = np.clip(wide, INT32_MIN, INT32_MAX).astype(np.int32)
    return narrow
