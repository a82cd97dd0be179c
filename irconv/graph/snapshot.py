"""A copy of a model that no edit of the model can reach.

``onnx_ir``'s ``clone`` shares type objects between a value and its copy, and assigning
``value.dtype`` writes into that object, so a plain clone would change with the model.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import onnx_ir as ir

from irconv.graph.walk import all_graphs

__all__ = ["snapshot"]


def snapshot(model: ir.Model) -> ir.Model:
    """Return a copy of ``model`` that shares its tensors and nothing else.

    Linear in nodes; no weight is read or copied.
    """
    with _collector_paused():
        copy = model.clone()
        for graph in all_graphs(copy):
            for value in (*graph.inputs, *graph.initializers.values()):
                _own_type(value)
            for node in graph:
                for value in node.outputs:
                    _own_type(value)
    return copy


def _own_type(value: ir.Value) -> None:
    if value.type is not None:
        value.type = _copy(value.type)


def _copy(kind: ir.TypeProtocol) -> ir.TypeProtocol:
    if isinstance(kind, ir.TensorType | ir.SparseTensorType):
        return type(kind)(kind.dtype, denotation=kind.denotation)
    if isinstance(kind, ir.SequenceType | ir.OptionalType):
        return type(kind)(_copy(kind.elem_type), denotation=kind.denotation)
    return kind


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cyclic collector from scanning a graph again and again while it is built.

    Cloning makes many long-lived objects and no garbage; without this its cost is not linear.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
