"""Moving data between channels and space, and normalizing over channels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv_tflite.emit.graph import Tensor
from irconv_tflite.emit.refusal import RefusalError
from irconv_tflite.emit.writer import GraphWriter
from irconv_tflite.ops.attributes import float_attribute, int_attribute, text_attribute
from irconv_tflite.ops.carrying import carry, restore
from irconv_tflite.ops.kinds import FLOAT, compute_dtype
from irconv_tflite.ops.registry import NHWC, emits
from irconv_tflite.ops.window import channels_first, channels_last

__all__: list[str] = []

_TAKEN = ("float32", "int64", "int32", "int8", "uint8")
_BY_CAST = ("float16", "int16", "uint16", "bfloat16")
_IMAGE_RANK = 4


@emits("DepthToSpace", domain=NHWC)
@emits("DepthToSpace")
def depth_to_space(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX DepthToSpace: DEPTH_TO_SPACE; GATHER of the channels first for mode CRD."""
    x = _image(graph, node)
    assert x.shape is not None
    block = int_attribute(node, "blocksize", 1)
    batch, height, width, channels = x.shape
    if text_attribute(node, "mode", "DCR") == "CRD":
        count = _known_channels(channels)
        order = np.arange(count, dtype=np.int32).reshape(-1, block * block).T.reshape(-1)
        x = graph.op("GATHER", [x, graph.constant(order)], x.shape, axis=3, batchDims=0)
    shape = (
        batch,
        None if height is None else height * block,
        None if width is None else width * block,
        None if channels is None else channels // block**2,
    )
    _write(graph, node, graph.op("DEPTH_TO_SPACE", [x], shape, blockSize=block))


@emits("SpaceToDepth", domain=NHWC)
@emits("SpaceToDepth")
def space_to_depth(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX SpaceToDepth: SPACE_TO_DEPTH; GATHER of the channels afterwards for mode CRD."""
    x = _image(graph, node)
    assert x.shape is not None
    block = int_attribute(node, "blocksize", 1)
    batch, height, width, channels = x.shape
    shape = (
        batch,
        None if height is None else height // block,
        None if width is None else width // block,
        None if channels is None else channels * block**2,
    )
    result = graph.op("SPACE_TO_DEPTH", [x], shape, blockSize=block)
    if text_attribute(node, "mode", "DCR") == "CRD":
        count = _known_channels(channels)
        order = np.arange(count * block**2, dtype=np.int32).reshape(-1, count).T.reshape(-1)
        result = graph.op("GATHER", [result, graph.constant(order)], shape, axis=3, batchDims=0)
    _write(graph, node, result)


def _known_channels(channels: int | None) -> int:
    if channels is None:
        raise RefusalError(
            "DYNAMIC_SHAPE",
            "the number of channels is known only when the model runs",
            "bind it with --shape",
        )
    return channels


def _image(graph: GraphWriter, node: ir.Node) -> Tensor:
    value = node.inputs[0]
    if graph.rank(value) != _IMAGE_RANK:
        raise RefusalError("RANK_LIMIT", "its input must have rank 4", "export the model anew")
    if graph.dtype(value) in _BY_CAST:
        x = graph.read(value, compute_dtype(graph.dtype(value), _TAKEN))
    else:
        x = carry(graph, value, _TAKEN)
    return channels_last(graph, node, x)


def _write(graph: GraphWriter, node: ir.Node, result: Tensor) -> None:
    result = channels_first(graph, node, result)
    value = node.outputs[0]
    if graph.dtype(value) in _BY_CAST:
        graph.write(value, result)
    else:
        restore(graph, value, result)


@emits("LRN", domain=NHWC)
@emits("LRN")
def local_response_normalization(graph: GraphWriter, node: ir.Node) -> None:
    """ONNX LRN over an odd number of channels: LOCAL_RESPONSE_NORMALIZATION."""
    size = int_attribute(node, "size", 1)
    if size % 2 == 0 or graph.rank(node.inputs[0]) != _IMAGE_RANK:
        raise RefusalError(
            "UNSUPPORTED_FORM",
            "TFLite normalizes over an odd number of channels of an image",
            "choose an odd size",
        )
    kind = compute_dtype(graph.dtype(node.inputs[0]), FLOAT)
    x = channels_last(graph, node, graph.read(node.inputs[0], kind))
    result = graph.op(
        "LOCAL_RESPONSE_NORMALIZATION",
        [x],
        x.shape,
        radius=size // 2,
        bias=float_attribute(node, "bias", 1.0),
        alpha=float_attribute(node, "alpha", 0.0001) / size,
        beta=float_attribute(node, "beta", 0.75),
    )
    graph.write(node.outputs[0], channels_first(graph, node, result))
