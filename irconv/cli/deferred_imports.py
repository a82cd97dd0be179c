"""Packages that load when something in them is first used.

``onnx_ir`` imports SymPy, which takes half a second, for arithmetic on symbolic dimensions that
most commands never do. This follows the recipe of the standard library's documentation of
``importlib.util.LazyLoader``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["defer_imports"]

_DEFERRED = frozenset({"sympy", "onnx_ir._symbolic_shapes"})


class _DeferringFinder:
    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def defer_imports() -> None:
    """Let the deferred packages load at their first use; call it before they are imported.

    For programs of one thread: in Python 3.11 a module that two threads use first at the same
    time could be loaded twice.
    """
    sys.meta_path.insert(0, _DeferringFinder())
