"""irconv: a compiler for trained models. One command, one bundle, one proof."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irconv.api import (
        bisect,
        check,
        compile,
        explain,
        golden_check,
        golden_diff,
        golden_record,
        inspect,
        optimize,
        run,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "bisect",
    "check",
    "compile",
    "explain",
    "golden_check",
    "golden_diff",
    "golden_record",
    "inspect",
    "optimize",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("irconv.api"), name)
    raise AttributeError(f"module 'irconv' has no attribute {name!r}")
