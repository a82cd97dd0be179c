"""Proof: inputs, goldens, metrics, tolerances and the verifier."""

from __future__ import annotations

from irconv.verbs import make_callable

make_callable(__name__)
