"""The values that decide shapes or the course of control, which no noise may touch."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from irconv.graph.walk import all_graphs, subgraphs_of

__all__ = ["protected_values"]

_DECIDES_SHAPES: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Resize": (1, 2, 3),
    "Upsample": (1,), "Range": (0, 1, 2), "ConstantOfShape": (0,), "Tile": (1,), "Pad": (1,),
    "TopK": (1,), "OneHot": (1,), "Split": (1,), "Squeeze": (1,), "Unsqueeze": (1,),
    "Loop": (0, 1), "If": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2), "MaxUnpool": (2,),
    "SplitToSequence": (1,), "SequenceAt": (1,),
}  # fmt: skip
"""Inputs of operators whose values decide shapes or the course of control."""

_CONTRACTIONS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "RNN", "GRU"})


def protected_values(model: ir.Model) -> set[ir.Value]:
    """Return what decides shapes or control flow, as far back as the network's contractions."""
    protected: set[ir.Value] = set()
    stack = list(_deciding_values(model))
    while stack:
        value = stack.pop()
        if value in protected:
            continue
        protected.add(value)
        producer = value.producer()
        if producer is None or producer.op_type in _CONTRACTIONS or producer.op_type == "Shape":
            continue
        stack += [item for item in producer.inputs if item is not None]
        for body in subgraphs_of(producer):
            stack.extend(body.outputs)
    return protected


def _deciding_values(model: ir.Model) -> Iterable[ir.Value]:
    for graph in all_graphs(model):
        for node in graph:
            if node.domain != "":
                continue
            for index in _DECIDES_SHAPES.get(node.op_type, ()):
                value = node.inputs[index] if index < len(node.inputs) else None
                if value is not None:
                    yield value
            if node.op_type == "Loop":
                for body in subgraphs_of(node):
                    yield body.outputs[0]
