"""TorchScript as a target of irconv."""

from __future__ import annotations

from irconv_torchscript.backend import TorchscriptBackend

__all__ = ["TorchscriptBackend"]
