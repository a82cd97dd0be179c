"""OpenVINO IR as a target of irconv."""

from __future__ import annotations

from irconv_openvino.backend import OpenvinoBackend

__all__ = ["OpenvinoBackend"]
