"""All families in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.backends.base import Support
from irconv_openvino.dtypes import ELEMENT_TYPES
from irconv_openvino.support import arithmetic, indexing, sequence, vision
from irconv_openvino.support.unknown import MICROSOFT_WITH_RULE, WITHOUT_RULE

if TYPE_CHECKING:
    from irconv_openvino.support.node import Check

__all__ = ["caveat", "dtype_refusal", "refusal"]

_REFUSALS: Mapping[str, Check] = {
    **arithmetic.REFUSALS,
    **indexing.REFUSALS,
    **sequence.REFUSALS,
    **vision.REFUSALS,
}
_CAVEATS: Mapping[str, Check] = {**arithmetic.CAVEATS, **sequence.CAVEATS, **vision.CAVEATS}
_TAKE_EMPTY = frozenset(
    {
        "Concat", "ConstantOfShape", "Expand", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare", "Reshape", "Resize", "Squeeze",
    }
)  # fmt: skip
"""Operators that the importer gives the right meaning even so."""
_WITH_RULES = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "org.openvinotoolkit"})


def refusal(node: ir.Node) -> Support:
    """Say whether OpenVINO takes a node, and if not, why."""
    if not _has_rule(node):
        return Support(
            False,
            "UNSUPPORTED_OP",
            "OpenVINO's ONNX importer has no rule for it",
            "express it by other operators, or leave it out of the exported part",
        )
    for value in (*node.inputs, *node.outputs):
        reason = dtype_refusal(value)
        if reason:
            return Support(False, "UNSUPPORTED_DTYPE", reason, "convert that part of the model")
    check = _REFUSALS.get(node.op_type) if node.domain == "" else None
    reason = (check(node) if check else "") or _empty_constant(node)
    if not reason:
        return Support(True)
    code = "WRONG_RESULTS" if "2026.4" in reason else "UNSUPPORTED_FORM"
    return Support(False, code, reason, "export that part of the model in another form")


def _has_rule(node: ir.Node) -> bool:
    if node.domain not in _WITH_RULES or (node.domain, node.op_type) in WITHOUT_RULE:
        return False
    return node.domain != "com.microsoft" or node.op_type in MICROSOFT_WITH_RULE


def _empty_constant(node: ir.Node) -> str:
    """OpenVINO's importer reads a constant without elements as a scalar."""
    if node.op_type in _TAKE_EMPTY:
        return ""
    for value in node.inputs:
        tensor = None if value is None else ir.convenience.get_const_tensor(value)
        if tensor is not None and tensor.size == 0:
            return "OpenVINO 2026.4 reads a constant without elements as a scalar"
    return ""


def dtype_refusal(value: ir.Value | None) -> str:
    """Return why OpenVINO cannot hold a value of this dtype, or the empty string."""
    if value is None or value.dtype is None or value.dtype == ir.DataType.UNDEFINED:
        return ""
    if value.dtype == ir.DataType.STRING:
        return "the CPU device of OpenVINO 2026.4 crashes on strings"
    name = value.dtype.numpy().name
    return "" if name in ELEMENT_TYPES else f"OpenVINO has no element type for {name}"


def caveat(node: ir.Node) -> str:
    """Return in which special case OpenVINO's result differs from ONNX's, or nothing."""
    check = _CAVEATS.get(node.op_type) if node.domain == "" else None
    return check(node) if check else ""
