"""Limits of recurrent, attention, signal, random and control-flow operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv_openvino.support.node import (
    attribute_int,
    dtype_of,
    has_input,
    is_constant,
    rank_of,
    value_at,
)

if TYPE_CHECKING:
    from irconv_openvino.support.node import Check

__all__ = ["CAVEATS", "REFUSALS"]

_MASK, _PAST_KEY, _VALID_LENGTH = 3, 4, 6
_SPLIT_RANK = 4
_PEEPHOLES = 7
_DFT_AXIS = 2
_DFT_DEFAULT = -2
_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def _attention(node: ir.Node) -> str:
    if {"left_window_size", "right_window_size"} & set(node.attributes):
        return "OpenVINO 2026.4 ignores the attention window"
    if attribute_int(node, "is_causal", 0):
        if has_input(node, _MASK) and has_input(node, _PAST_KEY):
            return "OpenVINO 2026.4 combines a causal mask, a given mask and a past wrongly"
        if has_input(node, _VALID_LENGTH) and dtype_of(node.inputs[0]) == ir.DataType.BFLOAT16:
            return "OpenVINO 2026.4 combines a causal mask with valid lengths wrongly in bfloat16"
    if not _head_counts_known(node):
        return "OpenVINO's importer must know the numbers of heads to share keys among queries"
    return ""


def _head_counts_known(node: ir.Node) -> bool:
    """Return whether two tensors [batch, heads, length, size] have known, or the same, heads."""
    query, key = value_at(node, 0), value_at(node, 1)
    if query is None or key is None or rank_of(query) != _SPLIT_RANK or query.shape is None:
        return True
    heads = (query.shape[1], None if key.shape is None else key.shape[1])
    if all(isinstance(count, int) for count in heads):
        return True
    return str(heads[0]) == str(heads[1]) and not query.shape.is_unknown_dim(1)


def _recurrent(node: ir.Node) -> str:
    if attribute_int(node, "layout", 0):
        return "OpenVINO 2026.4 ignores layout=1"
    if node.op_type == "LSTM" and has_input(node, _PEEPHOLES):
        return "OpenVINO 2026.4 ignores the peephole weights"
    return ""


def _dft(node: ir.Node) -> str:
    """From opset 20 on the axis is an input, which the importer leaves unread."""
    if attribute_int(node, "onesided", 0):
        return "OpenVINO 2026.4 gives a one-sided transform the wrong shape"
    rank = rank_of(value_at(node, 0))
    if "axis" in node.attributes:
        return ""
    axis = value_at(node, _DFT_AXIS)
    tensor = None if axis is None else ir.convenience.get_const_tensor(axis)
    number = (
        _DFT_DEFAULT if axis is None else None if tensor is None else int(tensor.numpy().item())
    )
    first = {1} if rank is None else {1, 1 - rank}
    return (
        "" if number in first else "OpenVINO 2026.4 transforms along axis 1, whatever axis is given"
    )


def _stft(node: ir.Node) -> str:
    if not all(is_constant(node, index) for index in (1, 3)):
        return "OpenVINO's importer wants a constant frame step and frame length"
    return ""


def _dropout(node: ir.Node) -> str:
    training = value_at(node, 2)
    if training is None:
        return ""
    tensor = ir.convenience.get_const_tensor(training)
    if tensor is None or bool(tensor.numpy().item()):
        return "OpenVINO's importer takes Dropout only for inference"
    return ""


def _loss(node: ir.Node) -> str:
    if "ignore_index" in node.attributes:
        return "OpenVINO's importer does not take ignore_index here"
    return ""


def _celu(node: ir.Node) -> str:
    if dtype_of(value_at(node, 0)) in _HALF:
        return "OpenVINO's importer takes Celu only in float32 and float64"
    return ""


def _random(node: ir.Node) -> str:
    kind = dtype_of(node.outputs[0])
    if kind == ir.DataType.DOUBLE:
        return "OpenVINO's importer draws no float64 random numbers"
    return ""


def _scan(node: ir.Node) -> str:
    if any(graph_reads_outside(attribute.as_graph()) for attribute in _graphs(node)):
        return "OpenVINO's importer takes no Scan whose body reads values from outside"
    return ""


def _graphs(node: ir.Node) -> list[ir.Attr]:
    return [
        attribute
        for attribute in node.attributes.values()
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref()
    ]


def graph_reads_outside(graph: ir.Graph) -> bool:
    """Return whether a node of the body reads a value that another graph defines."""
    return any(
        value is not None and value.graph is not graph for node in graph for value in node.inputs
    )


def _fourier_rounding(node: ir.Node) -> str:
    del node
    return "Fourier transforms are computed in float32 and err near zero"


REFUSALS: Mapping[str, Check] = {
    "Attention": _attention,
    "Celu": _celu,
    "DFT": _dft,
    "Dropout": _dropout,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "NegativeLogLikelihoodLoss": _loss,
    "RNN": _recurrent,
    "RandomUniformLike": _random,
    "STFT": _stft,
    "Scan": _scan,
}
CAVEATS: Mapping[str, Check] = {
    "DFT": _fourier_rounding,
    "STFT": _fourier_rounding,
}
