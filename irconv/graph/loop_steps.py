"""Whether a loop surely takes a step."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from irconv.graph.constants import constant_ints, constant_tensor

__all__ = ["takes_a_step"]

_FIXED_SCAN_OPSET = 9


def takes_a_step(node: ir.Node, opset: int) -> bool:
    """Return whether a ``Loop`` or ``Scan`` runs its body at least once, whatever it is given.

    A Loop does where its trip count is absent or a constant of at least 1, and its condition
    absent or constant true. A Scan does where a scanned axis has a static size of at least 1
    (ONNX operator specifications of Loop and Scan).

    Args:
        node: The node.
        opset: Opset version of the default domain.
    """
    if node.op_type == "Loop":
        return _loops(node)
    return node.op_type == "Scan" and opset >= _FIXED_SCAN_OPSET and _scans(node)


def _loops(node: ir.Node) -> bool:
    trips, condition = (*node.inputs, None, None)[:2]
    if trips is not None:
        count = constant_ints(trips)
        if not count or count[0] < 1:
            return False
    if condition is None:
        return True
    going = constant_tensor(condition)
    return going is not None and going.size == 1 and bool(np.all(going.numpy()))


def _scans(node: ir.Node) -> bool:
    count, axes = node.attributes.get("num_scan_inputs"), node.attributes.get("scan_input_axes")
    if count is None or count.is_ref() or not 1 <= count.as_int() <= len(node.inputs):
        return False
    axis = 0
    if axes is not None:
        if axes.is_ref() or not axes.as_ints():
            return False
        axis = axes.as_ints()[0]
    first = node.inputs[-count.as_int()]
    shape = None if first is None else first.shape
    if shape is None or not -len(shape) <= axis < len(shape):
        return False
    size = shape[axis]
    return isinstance(size, int) and size >= 1
