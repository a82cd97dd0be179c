"""The inputs and outputs of a model as plain tensor specs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import onnx_ir as ir

from irconv.runtime.base import TensorSpec

__all__ = ["dtype_text", "input_specs", "output_specs"]

Kind = Literal["tensor", "sequence", "optional", "map"]


def dtype_text(dtype: ir.DataType | None) -> str:
    """Return the full dtype name, such as ``float32``; ``undefined`` where it is unknown."""
    if dtype is None or dtype == ir.DataType.UNDEFINED:
        return "undefined"
    return "string" if dtype == ir.DataType.STRING else dtype.numpy().name


def input_specs(model: ir.Model) -> list[TensorSpec]:
    """Return the specs of the graph inputs that a caller must give, in order."""
    initializers = set(model.graph.initializers)
    return _specs(value for value in model.graph.inputs if value.name not in initializers)


def output_specs(model: ir.Model) -> list[TensorSpec]:
    """Return the specs of the graph outputs, in order."""
    return _specs(model.graph.outputs)


def _specs(values: Iterable[ir.Value]) -> list[TensorSpec]:
    return [_spec(value) for value in values]


def _spec(value: ir.Value) -> TensorSpec:
    kind: Kind = "tensor"
    if isinstance(value.type, ir.SequenceType):
        kind = "sequence"
    elif isinstance(value.type, ir.OptionalType):
        kind = "optional"
    shape: tuple[int | str | None, ...] | None = None
    if value.shape is not None:
        shape = tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)
    return TensorSpec(value.name or "", dtype_text(value.dtype), shape, kind)
