"""Forms of operators that ONNX Runtime has a kernel for and yet refuses or gets wrong.

Found by running the ONNX backend suite through ONNX Runtime 1.32 on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

__all__ = ["form_gap"]

_MASK, _VALID_LENGTH, _QK_OUTPUT = 3, 6, 3
_WEIGHT_ZERO_POINT = 3
_OUTPUT_SHAPE = 2


def form_gap(node: ir.Node) -> str:
    """Return why ONNX Runtime does not compute this form of the operator, or nothing."""
    check = _CHECKS.get(node.op_type) if node.domain == "" else None
    return check(node) if check else ""


def _attribute(node: ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return 0 if attribute is None or attribute.is_ref() else attribute.as_int()


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _recurrent(node: ir.Node) -> str:
    return "ONNX Runtime takes no layout=1" if _attribute(node, "layout") else ""


def _attention(node: ir.Node) -> str:
    if not _given(node, _MASK):
        return ""
    if _given(node, _VALID_LENGTH):
        return "ONNX Runtime takes either a mask or valid lengths"
    wants_products = len(node.outputs) > _QK_OUTPUT and bool(node.outputs[_QK_OUTPUT].name)
    if wants_products and _attribute(node, "is_causal"):
        return "ONNX Runtime 1.32 gives wrong QK products with a mask and is_causal=1"
    return ""


def _convolution(node: ir.Node) -> str:
    zero_point = node.inputs[_WEIGHT_ZERO_POINT] if _given(node, _WEIGHT_ZERO_POINT) else None
    if zero_point is None or zero_point.shape is None or list(zero_point.shape) in ([], [1]):
        return ""
    return "ONNX Runtime takes one zero point for all weights only"


def _unpooling(node: ir.Node) -> str:
    if _given(node, _OUTPUT_SHAPE):
        return "ONNX Runtime 1.32 puts values in wrong places where an output shape is given"
    return ""


def _maximum(node: ir.Node) -> str:
    data = node.inputs[0]
    if data is None or data.dtype != ir.DataType.BOOL or data.shape is None:
        return ""
    empty = any(dim == 0 for dim in data.shape)
    return "ONNX Runtime takes no extreme of an empty set of booleans" if empty else ""


_CHECKS: Mapping[str, Callable[[ir.Node], str]] = {
    "Attention": _attention,
    "ConvInteger": _convolution,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "MaxUnpool": _unpooling,
    "RNN": _recurrent,
    "ReduceMax": _maximum,
    "ReduceMin": _maximum,
}
