"""Operators that are known and not interpreted, with the reason."""

from __future__ import annotations

__all__ = ["REFUSED"]

_RANDOM = "its values are random, so a reference run cannot be compared with it"

REFUSED = {
    "random_bernoulli": _RANDOM,
    "random_categorical": _RANDOM,
    "random_normal": _RANDOM,
    "random_uniform": _RANDOM,
    "classify": "its output is a dictionary, which no source model has",
    "gru": "MIL's texts contradict each other on where the reset gate applies",
    "conv_quantized": "it is experimental, and compressed weights do the same",
}
"""Reason by operator."""
