"""What a model gives when every float32 in it is a float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

__all__ = ["exact_outputs"]

_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


class GatherElements(OpRun):
    """ONNX operator specification, GatherElements-13; the evaluator's own takes 64 entries."""

    op_domain = ""

    def _run(self, data: np.ndarray, indices: np.ndarray, axis: int = 0) -> tuple[np.ndarray]:
        return (np.take_along_axis(data, indices, axis),)


def exact_outputs(path: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a model's outputs as ONNX's reference evaluator computes them in float64.

    Args:
        path: A model of float32.
        feeds: Its inputs.
    """
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == _FLOAT:
            value.type.tensor_type.elem_type = _DOUBLE
    del model.graph.value_info[:]
    for tensor in _tensors(model.graph):
        if tensor.data_type == _FLOAT:
            wide = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and node.op_type == "Cast" and attribute.i == _FLOAT:
                attribute.i = _DOUBLE
    wide_feeds = {
        name: value.astype(np.float64) if value.dtype == np.float32 else value
        for name, value in feeds.items()
    }
    evaluator = ReferenceEvaluator(model, new_ops=[GatherElements])
    outputs = evaluator.run(None, wide_feeds)
    return dict(zip(evaluator.output_names, outputs, strict=True))


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
