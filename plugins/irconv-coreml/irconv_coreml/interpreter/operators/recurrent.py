"""Recurrent layers; a sequence is ``[steps, batch, size]``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
}
"""``hard_sigmoid`` and ``scaled_tanh`` have parameters that MIL does not state."""


def _activation(name: str) -> Callable[[Array], Array]:
    if name not in _ACTIVATIONS:
        raise ValueError(f"MIL does not state the parameters of the activation {name!r}")
    return _ACTIVATIONS[name]


def _steps(count: int, direction: str) -> range:
    if direction not in ("forward", "reverse"):
        raise ValueError(f"MIL has no direction {direction!r} here")
    return range(count) if direction == "forward" else range(count - 1, -1, -1)


@interprets("rnn", wide=True)
def rnn(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Array, Array]:
    """``h = activation(W_ih x + W_hh h + b)`` at every step."""
    apply = _activation(activation)
    projected = x @ weight_ih.T
    if bias is not None:
        projected = projected + bias
    hidden = initial_h
    states = np.empty((*x.shape[:2], initial_h.shape[1]), np.float32)
    for step in _steps(len(x), direction):
        hidden = apply(projected[step] + hidden @ weight_hh.T)
        states[step] = hidden
    return (states if bool(output_sequence) else hidden[None]), hidden


@interprets("lstm", wide=True)
def lstm(
    x: Array,
    initial_h: Array,
    initial_c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    peephole: Array | None = None,
    weight_ih_back: Array | None = None,
    weight_hh_back: Array | None = None,
    bias_back: Array | None = None,
    peephole_back: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: Array | None = None,
) -> tuple[Array, Array, Array]:
    """LSTM in one direction or both; gates are ordered input, forget, output, cell."""
    if clip is not None:
        raise ValueError("MIL does not state what exactly clip applies to")
    activations = (recurrent_activation, cell_activation, activation)
    if direction != "bidirectional":
        states, hidden, cell = _lstm(
            x, initial_h, initial_c, weight_ih, weight_hh, bias, peephole, direction, activations
        )
        return (states if bool(output_sequence) else hidden[None]), hidden, cell
    if weight_ih_back is None or weight_hh_back is None:
        raise ValueError("it is bidirectional and has no weights for the way back")
    size = initial_h.shape[1] // 2
    there = _lstm(
        x, initial_h[:, :size], initial_c[:, :size], weight_ih, weight_hh, bias, peephole,
        "forward", activations,
    )  # fmt: skip
    back = _lstm(
        x, initial_h[:, size:], initial_c[:, size:], weight_ih_back, weight_hh_back, bias_back,
        peephole_back, "reverse", activations,
    )  # fmt: skip
    states, hidden, cell = (np.concatenate(pair, axis=-1) for pair in zip(there, back, strict=True))
    return (states if bool(output_sequence) else hidden[None]), hidden, cell


def _lstm(
    x: Array,
    hidden: Array,
    cell: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None,
    peephole: Array | None,
    direction: str,
    activations: tuple[str, str, str],
) -> tuple[Array, Array, Array]:
    gate, candidate, output = (_activation(name) for name in activations)
    size = hidden.shape[1]
    peeps = np.zeros((3, size), np.float32) if peephole is None else peephole.reshape(3, size)
    projected = x @ weight_ih.T
    if bias is not None:
        projected = projected + bias
    states = np.empty((*x.shape[:2], size), np.float32)
    for step in _steps(len(x), direction):
        i, f, o, z = np.split(projected[step] + hidden @ weight_hh.T, 4, axis=-1)
        cell = gate(f + peeps[1] * cell) * cell + gate(i + peeps[0] * cell) * candidate(z)
        hidden = gate(o + peeps[2] * cell) * output(cell)
        states[step] = hidden
    return states, hidden, cell
