"""ExecuTorch without its side effects: warnings, and a changed environment."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import warnings
from collections.abc import Iterator
from typing import Any

from irconv.errors import MissingError

__all__ = [
    "WAY_OUT",
    "load_exporter",
    "load_partitioner",
    "load_runtime",
    "same_environment",
    "version",
]

WAY_OUT = "pip install 'irconv-torchscript[executorch]'"


def version() -> str | None:
    """Return the version of ExecuTorch that is installed; None if none is."""
    try:
        return importlib.metadata.version("executorch")
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def same_environment() -> Iterator[None]:
    """Put the environment variables back that torch's compiler sets for its caches."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _require() -> str:
    found = version()
    if found is None:
        raise MissingError("executorch is not installed", where="executorch", hint=WAY_OUT)
    return found


def load_exporter() -> Any:
    """Return the module ``executorch.exir``.

    Raises:
        MissingError: If ExecuTorch is not installed.
    """
    _require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import executorch.exir

    return executorch.exir


def load_partitioner() -> Any:
    """Return a partitioner that gives to XNNPACK what XNNPACK takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def load_runtime() -> tuple[Any, str]:
    """Return ExecuTorch's runtime and its version.

    Raises:
        MissingError: If ExecuTorch is not installed.
    """
    found = _require()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.runtime import Runtime

        return Runtime.get(), found
