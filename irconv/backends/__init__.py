"""Targets: the backend contract and the backends of the core."""
