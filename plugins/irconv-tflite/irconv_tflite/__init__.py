"""TFLite (LiteRT) as a target of irconv."""

from __future__ import annotations

from irconv_tflite.backend import TfliteBackend

__all__ = ["TfliteBackend"]
