"""Recurrent layers whose weights are constants; others are taken apart before."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from irconv_coreml import node as ask
from irconv_coreml.ops.refusals import constant_inputs, float_input
from irconv_coreml.ops.registry import Reason, emits
from irconv_coreml.site import Site, Var

__all__: list[str] = []

_Array = np.ndarray[Any, Any]
_LSTM_ORDER = (0, 2, 1, 3)
"""ONNX has the gates as input, output, forget, cell; MIL as input, forget, output, cell."""
_GRU_ORDER = (1, 2, 0)
"""ONNX has the gates as update, reset, hidden; MIL as reset, hidden, update."""
_ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid"}


def _plain(node: ir.Node) -> Reason:
    if ask.given(node, 4) is not None:
        return "UNSUPPORTED_FORM: MIL has no sequence_lens"
    if "clip" in node.attributes or ask.attr_int(node, "layout", 0):
        return "UNSUPPORTED_FORM: MIL has no clip, and wants the time first"
    if ask.attr_int(node, "input_forget", 0) or ask.given(node, 7) is not None:
        return "UNSUPPORTED_FORM: coupled gates and peepholes are taken apart"
    return ""


def _names(node: ir.Node) -> list[str]:
    attribute = node.attributes.get("activations")
    return [] if attribute is None else [name.lower() for name in attribute.as_strings()]


def _default_activations(node: ir.Node) -> Reason:
    gates = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}[node.op_type]
    names = _names(node)
    if names and names != gates * (len(names) // len(gates)):
        return "UNSUPPORTED_FORM: activations other than the default are taken apart"
    return ""


def _one_direction(node: ir.Node) -> Reason:
    if ask.attr_text(node, "direction", "forward") == "bidirectional":
        return "UNSUPPORTED_FORM: MIL runs it in one direction at a time"
    return ""


def _reordered(array: _Array, order: tuple[int, ...]) -> _Array:
    """Return a direction's rows with the gates in another order."""
    parts = np.split(array, len(order), axis=0)
    return np.concatenate([parts[index] for index in order], axis=0)


def _name(site: Site, index: int) -> str:
    value = ask.given(site.node, index)
    return "" if value is None else value.name or ""


def _bias(site: Site, direction: int, order: tuple[int, ...]) -> _Array | None:
    both = site.constant(3)
    if both is None:
        return None
    inner, outer = np.split(both[direction], 2)
    return _reordered(inner + outer, order)


def _state(site: Site, index: int, directions: int, hidden: int) -> Var:
    """Return an initial state as [batch, directions * hidden]; zeros where it is left out."""
    mb = site.mb
    batch = site.shape_vector(site.x)[1]
    if not site.has(index):
        return mb.fill(shape=site.vector([batch, directions * hidden]), value=site.like(0, site.x))
    turned = mb.transpose(x=site[index], perm=[1, 0, 2])
    return site.reshape(turned, [batch, directions * hidden])


def _results(site: Site, values: tuple[Var, ...], directions: int, hidden: int) -> list[Var]:
    """Bring MIL's results, [time, batch, ...] and [batch, ...], into ONNX's layout."""
    mb = site.mb
    time, batch, _ = site.shape_vector(site.x)
    sequence = site.reshape(values[0], [time, batch, directions, hidden])
    results = [mb.transpose(x=sequence, perm=[0, 2, 1, 3])]
    for last in values[1:]:
        split = site.reshape(last, [batch, directions, hidden])
        results.append(mb.transpose(x=split, perm=[1, 0, 2]))
    return results


_CONSTANT = constant_inputs(1, 2, 3)


@emits("LSTM", refuses=[float_input, _plain, _CONSTANT, _default_activations])
def _lstm(site: Site) -> list[Var]:
    """ONNX LSTM as MIL lstm, in both directions at once too."""
    direction = site.text("direction", "forward")
    weight, recurrent = site.constant(1), site.constant(2)
    assert weight is not None
    assert recurrent is not None
    directions, hidden = weight.shape[0], recurrent.shape[2]
    options: dict[str, Any] = {}
    for index, suffix in zip(range(directions), ("", "_back"), strict=False):
        label = f".{direction}{index}"
        options["weight_ih" + suffix] = site.program.weight(
            _reordered(weight[index], _LSTM_ORDER), _name(site, 1) + label
        )
        options["weight_hh" + suffix] = site.program.weight(
            _reordered(recurrent[index], _LSTM_ORDER), _name(site, 2) + label
        )
        bias = _bias(site, index, _LSTM_ORDER)
        if bias is not None:
            options["bias" + suffix] = site.program.weight(bias, _name(site, 3) + label)
    values = site.mb.lstm(
        x=site.x,
        initial_h=_state(site, 5, directions, hidden),
        initial_c=_state(site, 6, directions, hidden),
        direction=direction,
        output_sequence=True,
        **options,
    )
    return _results(site, values, directions, hidden)


def _gru_form(node: ir.Node) -> Reason:
    bias = ask.constant(node, 3)
    zero = bias is None or not np.any(np.split(bias, 2, axis=1)[1][:, -bias.shape[1] // 6 :])
    if not ask.attr_int(node, "linear_before_reset", 0) or not zero:
        return "UNSUPPORTED_FORM: MIL resets after the product, and adds one bias after that"
    return ""


@emits(
    "GRU", refuses=[float_input, _plain, _one_direction, _CONSTANT, _default_activations, _gru_form]
)
def _gru(site: Site) -> list[Var]:
    """ONNX GRU with linear_before_reset and no recurrent bias of the hidden gate, as MIL gru."""
    return _single(site, "gru", _GRU_ORDER, {})


def _rnn_activation(node: ir.Node) -> Reason:
    names = _names(node) or ["tanh"]
    if any(name not in _ACTIVATIONS for name in names):
        return "UNSUPPORTED_FORM: MIL's rnn has no such activation"
    return ""


@emits("RNN", refuses=[float_input, _plain, _one_direction, _CONSTANT, _rnn_activation])
def _rnn(site: Site) -> list[Var]:
    """ONNX RNN as MIL rnn."""
    activation = _ACTIVATIONS[(_names(site.node) or ["tanh"])[0]]
    return _single(site, "rnn", (0,), {"activation": activation})


def _single(site: Site, name: str, order: tuple[int, ...], options: dict[str, Any]) -> list[Var]:
    weight, recurrent = site.constant(1), site.constant(2)
    assert weight is not None
    assert recurrent is not None
    hidden = recurrent.shape[2]
    bias = _bias(site, 0, order)
    if bias is not None:
        options["bias"] = site.program.weight(bias, _name(site, 3) + ".sum")
    values = getattr(site.mb, name)(
        x=site.x,
        initial_h=_state(site, 5, 1, hidden),
        weight_ih=site.program.weight(_reordered(weight[0], order), _name(site, 1) + ".gates"),
        weight_hh=site.program.weight(_reordered(recurrent[0], order), _name(site, 2) + ".gates"),
        direction=site.text("direction", "forward"),
        output_sequence=True,
        **options,
    )
    return _results(site, values, 1, hidden)
