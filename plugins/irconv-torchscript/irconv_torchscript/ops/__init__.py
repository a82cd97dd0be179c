"""How each ONNX operator is built; one module for each family.

The modules need no torch until an operator is built.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

__all__ = ["load"]


@functools.cache
def load() -> None:
    """Import every family, so that its operators are registered."""
    for family in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{family.name}")
