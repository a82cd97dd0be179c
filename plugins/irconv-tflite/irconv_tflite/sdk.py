"""Importing LiteRT's interpreter, quietly."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irconv.errors import MissingError

__all__ = ["load_interpreter_module", "quiet"]


def load_interpreter_module() -> Any:
    """Return the module ``ai_edge_litert.interpreter``.

    Raises:
        MissingError: If it is not installed.
    """
    try:
        with quiet():
            from ai_edge_litert import interpreter
    except ImportError as error:
        raise MissingError(
            "ai-edge-litert is not installed", where="tflite", hint="pip install ai-edge-litert"
        ) from error
    return interpreter


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what native code writes to the standard error stream nowhere.

    LiteRT's logger writes to the file descriptor itself and has no switch in Python.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
