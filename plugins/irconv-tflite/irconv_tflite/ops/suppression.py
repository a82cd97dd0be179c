"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import given, int_attribute
from irconv_tflite.ops.elementwise import binary
from irconv_tflite.ops.registry import emits

__all__: list[str] = []

_MOST_PAIRS = 512
_STEP = np.finfo(np.float32).eps
_LOWEST = float(np.finfo(np.float32).min)


@emits("NonMaxSuppression")
def non_max_suppression(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX NonMaxSuppression: NON_MAX_SUPPRESSION_V4 for every class of every image."""
    count, classes, boxes_per_image = graph.static_shape(node.inputs[1])
    if count * classes > _MOST_PAIRS or not count * classes:
        raise RefusalError(
            "SIZE_LIMIT",
            f"{count * classes} pairs of image and class would each be an operator",
            f"suppress at most {_MOST_PAIRS} at once",
        )
    boxes = graph.read(node.inputs[0], "float32")
    if int_attribute(node, "center_point_box", 0):
        boxes = _corners(graph, boxes)
    scores = graph.read(node.inputs[1], "float32")
    most = _scalar(graph, given(node, 2), "int32", 0)
    overlap = _next_above(graph, _scalar(graph, given(node, 3), "float32", 0.0))
    lowest = _scalar(graph, given(node, 4), "float32", _LOWEST)
    found = []
    for image in range(count):
        own = _part(graph, boxes, (image, 0, 0), (1, boxes_per_image, 4), [boxes_per_image, 4])
        for label in range(classes):
            start, size = (image, label, 0), (1, 1, boxes_per_image)
            values = _part(graph, scores, start, size, [boxes_per_image])
            places, number = graph.ops(
                "NON_MAX_SUPPRESSION_V4",
                [own, values, most, overlap, lowest],
                [("int32", (None,)), ("int32", ())],
            )
            sizes = graph.reshape(number, [1])
            begin = graph.constant(np.array([0], np.int32))
            kept = graph.op("SLICE", [places, begin, sizes], (None,))
            column = graph.op("RESHAPE", [kept, graph.constant([-1, 1], "int32")], (None, 1))
            paddings = graph.constant(np.array([[0, 0], [2, 0]], np.int32))
            rows = graph.op("PAD", [column, paddings], (None, 3))
            label_of = graph.constant(np.array([[image, label, 0]], np.int32))
            found.append(binary(graph, "ADD", rows, label_of))
    result = found[0]
    if len(found) > 1:
        result = graph.op("CONCATENATION", found, (None, 3), axis=0)
    graph.write(node.outputs[0], result)


def _scalar(graph: GraphWriter, value: ir.Value | None, dtype: str, default: float) -> Tensor:
    if value is None:
        return graph.constant(np.array(default, dtype))
    known = graph.array(value)
    if known is not None:
        limits = (0, 2**31 - 1) if dtype == "int32" else (None, None)
        item = known.reshape(-1)[0] if known.size else default
        return graph.constant(np.array(np.clip(item, *limits), dtype))
    return graph.reshape(graph.read(value, dtype), [])


def _next_above(graph: GraphWriter, threshold: Tensor) -> Tensor:
    """Return a little more, since TFLite suppresses at the threshold too, and ONNX above it."""
    if threshold.constant is not None:
        known = np.float32(threshold.constant.load())
        return graph.constant(np.nextafter(known, np.float32(np.inf)))
    scaled = binary(graph, "MUL", threshold, graph.constant(np.float32(1) + _STEP))
    return binary(graph, "ADD", scaled, graph.constant(np.finfo(np.float32).tiny))


def _part(
    graph: GraphWriter,
    x: Tensor,
    start: tuple[int, ...],
    size: tuple[int, ...],
    shape: list[int],
) -> Tensor:
    bounds = [graph.constant(np.array(item, np.int32)) for item in (start, size)]
    return graph.reshape(graph.op("SLICE", [x, *bounds], size), shape)


def _corners(graph: GraphWriter, boxes: Tensor) -> Tensor:
    """Turn middle x, middle y, width, height into two corners y, x, y, x."""
    assert boxes.shape is not None
    turn = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, -0.5, 0, 0.5], [-0.5, 0, 0.5, 0]], np.float32)
    return graph.op(
        "BATCH_MATMUL", [boxes, graph.constant(turn)], boxes.shape, adjX=False, adjY=False
    )
