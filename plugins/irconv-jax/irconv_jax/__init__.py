"""JAX functions and Flax modules as sources of irconv."""

from __future__ import annotations

from irconv_jax.frontend import JaxFrontend

__all__ = ["JaxFrontend"]
