"""The activation functions of ONNX RNN, GRU and LSTM (section "Activation functions")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from irconv.passes.decompose.block import Block, Keep
from irconv.passes.decompose.site import Site

__all__ = ["Activation", "read_activations"]

Activation = Callable[[Block, ir.Value], ir.Value]
_PLAIN = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
_ALPHA_DEFAULTS = {
    "affine": 1.0,
    "elu": 1.0,
    "hardsigmoid": 0.2,
    "leakyrelu": 0.01,
    "scaledtanh": 1.0,
    "thresholdedrelu": 1.0,
}
_BETA_DEFAULTS = {"affine": 0.0, "hardsigmoid": 0.5, "scaledtanh": 1.0}


def read_activations(site: Site, defaults: Sequence[str], directions: int) -> list[Activation]:
    """Return the activations of all directions, in order.

    Values of ``activation_alpha`` and ``activation_beta`` go, one after another, to the
    activations that have such a parameter.
    """
    names: Sequence[str] = site.attribute("activations", list(defaults) * directions)
    alphas = iter(site.attribute("activation_alpha", [0.0][:0]))
    betas = iter(site.attribute("activation_beta", [0.0][:0]))
    found: list[Activation] = []
    for name in names:
        key = name.lower()
        alpha = next(alphas, _ALPHA_DEFAULTS[key]) if key in _ALPHA_DEFAULTS else 0.0
        beta = next(betas, _BETA_DEFAULTS[key]) if key in _BETA_DEFAULTS else 0.0
        found.append(_activation(key, alpha, beta))
    if len(found) != len(defaults) * directions:
        raise Keep(f"it has {len(found)} activations for {directions} directions")
    return found


def _activation(key: str, alpha: float, beta: float) -> Activation:
    if key in _PLAIN:
        op_type = _PLAIN[key]
        return lambda block, x: block.op(op_type, x)
    if key not in _MAKERS:
        raise Keep(f"its activation {key!r} is unknown")
    make = _MAKERS[key]
    return lambda block, x: make(block, x, alpha, beta)


_MAKERS: Mapping[str, Callable[[Block, ir.Value, float, float], ir.Value]] = {
    "affine": lambda b, x, alpha, beta: b.op("Add", b.op("Mul", x, alpha), beta),
    "elu": lambda b, x, alpha, _: b.op("Elu", x, alpha=alpha),
    "hardsigmoid": lambda b, x, alpha, beta: b.op("HardSigmoid", x, alpha=alpha, beta=beta),
    "leakyrelu": lambda b, x, alpha, _: b.op("LeakyRelu", x, alpha=alpha),
    "scaledtanh": lambda b, x, alpha, beta: b.op("Mul", b.op("Tanh", b.op("Mul", x, beta)), alpha),
    "thresholdedrelu": lambda b, x, alpha, _: b.op("ThresholdedRelu", x, alpha=alpha),
}
