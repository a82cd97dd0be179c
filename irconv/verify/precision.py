"""The precision a model computes in, which decides how its outputs are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.backends.base import Precision

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["model_precision"]

_COARSEST_FIRST: tuple[tuple[str, Precision], ...] = (
    ("BFLOAT16", "bfloat16"),
    ("FLOAT16", "float16"),
    ("FLOAT", "float32"),
    ("DOUBLE", "float64"),
)


def model_precision(model: ir.Model) -> Precision:
    """Return the coarsest floating-point dtype of any value in the model; float32 if none."""
    from irconv.graph.walk import all_graphs

    found = {
        value.dtype.name for graph in all_graphs(model) for value in graph.inputs if value.dtype
    }
    for graph in all_graphs(model):
        found |= {value.dtype.name for value in graph.initializers.values() if value.dtype}
        found |= {output.dtype.name for node in graph for output in node.outputs if output.dtype}
    return next((precision for name, precision in _COARSEST_FIRST if name in found), "float32")
