"""Readable names for the leaves of a program's inputs and outputs; needs no PyTorch."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["OUTPUT", "free_name", "leaf_name"]

OUTPUT = "output"
"""Name of the only output that has none, and the first part of the names of those by number."""

_UNUSUAL = re.compile(r"[^\w./-]")


def leaf_name(path: Sequence[str | int], root: str = OUTPUT) -> str:
    """Return the name of a leaf of a tree.

    Args:
        path: Dictionary keys, fields and positions from the root to the leaf.
        root: What the name begins with where the path begins with a position.
    """
    parts = [str(step) for step in path]
    if not path or isinstance(path[0], int):
        parts.insert(0, root)
    return _UNUSUAL.sub("_", "_".join(parts))


def free_name(wanted: str, taken: set[str]) -> str:
    """Return ``wanted``, or with ``_out`` and a number behind it, and add it to ``taken``."""
    name, count = wanted, 0
    while name in taken:
        name = f"{wanted}_out{count or ''}"
        count += 1
    taken.add(name)
    return name
