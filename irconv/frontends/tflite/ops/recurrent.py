"""Recurrent layers that are one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from irconv.frontends.tflite import hybrid
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError
from irconv.frontends.tflite.schema import ACTIVATIONS

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_INPUT_WEIGHTS = (1, 4, 2, 3)
_RECURRENT_WEIGHTS = (5, 8, 6, 7)
_BIASES = (12, 15, 13, 14)
_PEEPHOLES = (9, 11, 10)
_PROJECTION = (16, 17)
_OUTPUT_STATE, _CELL_STATE = 18, 19
_LAYER_NORM = (20, 21, 22, 23)
_QUANTIZED_NOTE = (
    "LiteRT keeps the state of a quantized LSTM in integers, and rounds it at every step; the "
    "ONNX LSTM has quantized weights and a state of real numbers"
)


@converts("UNIDIRECTIONAL_SEQUENCE_LSTM")
def unidirectional_sequence_lstm(site: Site) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: LSTM; gates in the order input, output, forget, cell."""
    x, nodes = site.input(0), site.nodes
    _refuse_extras(site)
    weights = site.input(2)
    if x.quantization is not None or hybrid.is_hybrid(x, weights):
        site.scope.conversion.notes[_QUANTIZED_NOTE] = None
    forget = site.input(6)
    hidden = forget.shape[1]
    if hidden is None or not forget.is_constant:
        raise RefusalError("its weights are computed at run time")
    sequence = x.real()
    if not site.option("time_major"):
        sequence = nodes.transpose(sequence, [1, 0, 2])
    zeros = nodes.constant([0.0] * (4 * hidden), "float32")
    biases = [_gate(site, index, _BIASES[2]) for index in _BIASES]
    bias = nodes.unsqueeze(nodes.op("Concat", *biases, zeros, axis=0), 0)
    peepholes = None
    if site.has(_PEEPHOLES[2]):
        parts = [_gate(site, index, _PEEPHOLES[2]) for index in _PEEPHOLES]
        peepholes = nodes.unsqueeze(nodes.op("Concat", *parts, axis=0), 0)
    states = [
        nodes.unsqueeze(site.input(index).real(), 0) for index in (_OUTPUT_STATE, _CELL_STATE)
    ]
    activation = ACTIVATIONS[site.option("fused_activation_function")].capitalize()
    value = nodes.op(
        "LSTM",
        sequence,
        _stacked(site, _INPUT_WEIGHTS),
        _stacked(site, _RECURRENT_WEIGHTS),
        bias,
        None,
        *states,
        peepholes,
        hidden_size=hidden,
        activations=None if activation == "Tanh" else ["Sigmoid", activation, activation],
    )
    value = nodes.squeeze(value, 1)
    if not site.option("time_major"):
        value = nodes.transpose(value, [1, 0, 2])
    site.output().set_real(value)


def _refuse_extras(site: Site) -> None:
    way_out = "import the model that the file was converted from"
    if any(site.has(index) for index in _PROJECTION):
        raise RefusalError("its output is projected, which ONNX's LSTM has not", way_out)
    if any(site.has(index) for index in _LAYER_NORM):
        raise RefusalError("its gates are normalized, which ONNX's LSTM has not", way_out)
    if site.option("cell_clip") or site.option("proj_clip"):
        raise RefusalError("its cell state is clipped, which ONNX's LSTM does not", way_out)
    if site.option("diagonal_recurrent_tensors"):
        raise RefusalError("its recurrent weights are diagonals", way_out)
    if ACTIVATIONS[site.option("fused_activation_function")] not in ("TANH", "RELU"):
        raise RefusalError("its activation is neither tanh nor relu", way_out)


def _stacked(site: Site, indices: Sequence[int]) -> ir.Value:
    parts = [_gate(site, index, indices[2]) for index in indices]
    return site.nodes.unsqueeze(site.nodes.op("Concat", *parts, axis=0), 0)


def _gate(site: Site, index: int, forget: int) -> ir.Value:
    """Return a gate's weights.

    An input gate that is coupled to the forget gate is one minus that, which is the sigmoid of
    its negated sum.
    """
    if site.has(index):
        return site.input(index).weight()
    return site.nodes.op("Neg", site.input(forget).weight())
