"""Proof: inputs, goldens, metrics, tolerances and the verifier."""
