"""A way of drawing in which a seed gives the same example whatever else was imported.

Hypothesis now and then draws a constant that it has read in the source of the modules at hand.
Which examples a test sees would depend on the tests before it, and no seed would outlive an edit.
"""

from __future__ import annotations

from typing import Any

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

__all__ = ["STEADY", "SteadyProvider"]

STEADY = "steady"


class SteadyProvider(HypothesisProvider):
    """Draws as Hypothesis does, but for those constants."""

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[STEADY] = f"{__name__}.{SteadyProvider.__name__}"
