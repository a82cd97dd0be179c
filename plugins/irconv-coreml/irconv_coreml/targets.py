"""The systems that a package can be made for."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["Target", "reaches"]

Target = Literal["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"]
"""The oldest system that a package must run on, from the oldest to the newest."""
_ORDER: tuple[Target, ...] = get_args(Target)


def reaches(target: Target, oldest: Target) -> bool:
    """Return whether a package for ``target`` may use what ``oldest`` brought."""
    return _ORDER.index(target) >= _ORDER.index(oldest)
