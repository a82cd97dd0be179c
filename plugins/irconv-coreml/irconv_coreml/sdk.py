"""Importing coremltools quickly and quietly.

``import coremltools`` imports every framework that it finds (six seconds beside torch), warns
about their versions, and reports each native library that its wheels lack off macOS. A
framework that is not loaded yet is hidden while coremltools is imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["load_coremltools"]

_HIDDEN = ("executorch", "libsvm", "sklearn", "tensorflow", "torch", "transformers", "xgboost")


def load_coremltools() -> Any:
    """Return the module ``coremltools``; its log shows errors only."""
    if "coremltools" not in sys.modules:
        logging.getLogger("coremltools").setLevel(logging.CRITICAL)
        with _hidden(_HIDDEN), _same_environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coremltools
    import coremltools

    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    return coremltools


@contextlib.contextmanager
def _hidden(modules: tuple[str, ...]) -> Iterator[None]:
    absent = [module for module in modules if module not in sys.modules]
    for module in absent:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module]


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Take back what importing coremltools sets for TensorFlow's log."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
