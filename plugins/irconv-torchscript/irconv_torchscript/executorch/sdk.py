"""Importing ExecuTorch, without the warnings that its own imports raise."""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import Any

from irconv.errors import MissingError

__all__ = ["WAY_OUT", "load_exporter", "load_partitioner", "load_runtime", "version"]

WAY_OUT = "pip install 'irconv-torchscript[executorch]'"


def version() -> str | None:
    """Return the version of ExecuTorch that is installed; None if none is."""
    try:
        return importlib.metadata.version("executorch")
    except importlib.metadata.PackageNotFoundError:
        return None


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
    from executorch.runtime import Runtime

    return Runtime.get(), found
