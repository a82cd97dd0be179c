"""Nodes that tf2onnx writes in a form that ONNX does not know or takes differently.

* ``ConvTranspose`` with negative pads at the end: ONNX calls that output padding.
* ``Resize`` by scales whose product with the size is no whole number, such as 12 * 1.6666666:
  ONNX rounds down, and TensorFlow means a size.
* ``tf_half_pixel_for_nn``, which ONNX gave up: ``floor((i + 0.5) s)`` is ``half_pixel``,
  ``(i + 0.5) s - 0.5``, rounded with ties upwards.
* ``OneHot`` of negative indices: nothing in TensorFlow, counted from the end in ONNX.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_tensor
from irconv.graph.walk import all_nodes
from irconv.runtime.base import Array

__all__ = ["repair"]

_SPATIAL = 2
"""Batch and channels come first in ONNX."""
_SHAPE_PARTS_SINCE = 15
_EXACT = 1e-3


def repair(model: ir.Model) -> bool:
    """Rewrite such nodes in place, and say whether there was any; shapes must be inferred."""
    found = [
        node for node in all_nodes(model) if node.op_type in ("ConvTranspose", "OneHot", "Resize")
    ]
    for node in found:
        if node.op_type == "ConvTranspose":
            _use_output_padding(node)
        elif node.op_type == "OneHot":
            _ignore_negative(node)
        else:
            _use_known_coordinates(node)
            if model.opset_imports.get("", 0) >= _SHAPE_PARTS_SINCE:
                _use_sizes(node)
    return bool(found)


def _use_output_padding(node: ir.Node) -> None:
    pads = list(node.attributes["pads"].as_ints()) if "pads" in node.attributes else []
    rank = len(pads) // 2
    ends = pads[rank:]
    if not any(pad < 0 for pad in ends):
        return
    given = node.attributes.get("output_padding")
    extra = list(given.as_ints()) if given is not None else [0] * rank
    extra = [more - min(0, pad) for more, pad in zip(extra, ends, strict=True)]
    node.attributes["output_padding"] = ir.AttrInt64s("output_padding", extra)
    node.attributes["pads"] = ir.AttrInt64s("pads", pads[:rank] + [max(0, pad) for pad in ends])


def _use_known_coordinates(node: ir.Node) -> None:
    mode = node.attributes.get("coordinate_transformation_mode")
    if mode is None or mode.as_string() != "tf_half_pixel_for_nn":
        return
    for name, text in (
        ("coordinate_transformation_mode", "half_pixel"),
        ("nearest_mode", "round_prefer_ceil"),
    ):
        node.attributes[name] = ir.AttrString(name, text)


def _use_sizes(node: ir.Node) -> None:
    source = node.inputs[0]
    scales = _array(node.inputs[2]) if len(node.inputs) > 2 else None
    shape = None if source is None else source.shape
    if scales is None or shape is None or len(shape) != scales.size:
        return
    dims = [dim for dim in list(shape)[_SPATIAL:] if isinstance(dim, int)]
    if len(dims) != len(shape) - _SPATIAL or any(scale != 1 for scale in scales[:_SPATIAL]):
        return
    exact = [dim * float(scale) for dim, scale in zip(dims, scales[_SPATIAL:], strict=True)]
    sizes = [round(size) for size in exact]
    if [math.floor(size) for size in exact] == sizes or any(
        abs(size - whole) > _EXACT for size, whole in zip(exact, sizes, strict=True)
    ):
        return
    wanted = _constant(f"{node.name}_sizes", np.array(sizes, np.int64))
    _insert(node, wanted)
    given = ir.node("Shape", [source], {"start": 0, "end": _SPATIAL}, name=f"{node.name}_batch")
    _insert(node, given)
    both = [given.outputs[0], wanted.outputs[0]]
    _before(node, 3, ir.node("Concat", both, {"axis": 0}, name=f"{node.name}_shape"))
    old = node.inputs[2]
    node.replace_input_with(2, None)
    if old is not None and old.is_initializer() and not old.uses():
        assert old.graph is not None
        assert old.name is not None
        old.graph.initializers.pop(old.name)


def _ignore_negative(node: ir.Node) -> None:
    """Give indices below zero the first index that is too large, which sets nothing."""
    indices, depth = node.inputs[0], node.inputs[1]
    count = _array(depth)
    if indices is None or count is None or indices.dtype is None:
        return
    producer = indices.producer()
    if producer is not None and producer.op_type == "ArgMax":
        return
    dtype = indices.dtype.numpy()
    zero = _constant(f"{node.name}_zero", np.array(0, dtype))
    beyond = _constant(f"{node.name}_depth", np.array(count.reshape(-1)[0], dtype))
    for constant in (zero, beyond):
        _insert(node, constant)
    less = ir.node("Less", [indices, zero.outputs[0]], name=f"{node.name}_negative")
    _insert(node, less)
    where = ir.node(
        "Where", [less.outputs[0], beyond.outputs[0], indices], name=f"{node.name}_indices"
    )
    _before(node, 0, where)


def _array(value: ir.Value | None) -> Array | None:
    tensor = constant_tensor(value)
    return None if tensor is None else tensor.numpy()


def _constant(name: str, array: Array) -> ir.Node:
    return ir.node("Constant", [], {"value": ir.tensor(array)}, name=name)


def _insert(before: ir.Node, node: ir.Node) -> None:
    assert before.graph is not None
    node.outputs[0].name = f"{node.name}_out"
    before.graph.insert_before(before, node)


def _before(node: ir.Node, index: int, giver: ir.Node) -> None:
    """Insert ``giver`` before ``node`` and make it its input ``index``."""
    _insert(node, giver)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, giver.outputs[0])
