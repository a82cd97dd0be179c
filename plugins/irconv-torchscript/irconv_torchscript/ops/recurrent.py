"""LSTM, GRU and RNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site

_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_ALPHA = {"LeakyRelu": 0.01, "HardSigmoid": 0.2, "Elu": 1.0, "ThresholdedRelu": 1.0}
_BETA = {"HardSigmoid": 0.5}


def _common(site: Site) -> list[Any]:
    """Return activations, their parameters, clip, direction and layout."""
    kind = site.node.op_type
    direction = site.attr("direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    names = list(site.attr("activations") or _DEFAULTS[kind] * directions)
    given = {
        "alpha": site.attr("activation_alpha") or [],
        "beta": site.attr("activation_beta") or [],
    }
    alphas = [*given["alpha"], *(_ALPHA.get(n, 1.0) for n in names[len(given["alpha"]) :])]
    betas = [*given["beta"], *(_BETA.get(n, 0.0) for n in names[len(given["beta"]) :])]
    return [
        names,
        [float(item) for item in alphas],
        [float(item) for item in betas],
        float(site.attr("clip", 0.0)),
        direction,
        bool(site.attr("layout", 0)),
    ]


@emits("RNN")
def rnn(site: Site) -> tuple[Any, ...]:
    """Section RNN."""
    inputs = [site.tensor(index) for index in range(6)]
    return site.items(site.call("recurrent.rnn", *inputs, *_common(site)), 2)


@emits("GRU")
def gru(site: Site) -> tuple[Any, ...]:
    """Section GRU."""
    inputs = [site.tensor(index) for index in range(6)]
    linear = bool(site.attr("linear_before_reset", 0))
    return site.items(site.call("recurrent.gru", *inputs, *_common(site), linear), 2)


@emits("LSTM")
def lstm(site: Site) -> tuple[Any, ...]:
    """Section LSTM."""
    inputs = [site.tensor(index) for index in range(8)]
    forget = bool(site.attr("input_forget", 0))
    return site.items(site.call("recurrent.lstm", *inputs, *_common(site), forget), 3)
