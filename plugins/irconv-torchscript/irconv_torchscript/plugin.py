"""The entry point: what this distribution adds to irconv."""

from __future__ import annotations

from irconv.backends.base import Backend
from irconv.hookspecs import hookimpl
from irconv.passes.base import Pass
from irconv_torchscript.backend import TorchscriptBackend
from irconv_torchscript.executorch.backend import ExecutorchBackend
from irconv_torchscript.passes import LegalizeTorchscript

__all__ = ["irconv_backends", "irconv_passes"]


@hookimpl
def irconv_backends() -> list[type[Backend]]:
    """Return the backends of the targets ``torchscript`` and ``executorch``."""
    return [TorchscriptBackend, ExecutorchBackend]


@hookimpl
def irconv_passes() -> list[type[Pass]]:
    """Return the pass that fits a model to the module builder."""
    return [LegalizeTorchscript]
