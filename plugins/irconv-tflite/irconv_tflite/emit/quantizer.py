"""Quantizing the written file by ai-edge-quantizer, as a second way beside QDQ models."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

from irconv.errors import BackendError, MissingError
from irconv_tflite.sdk import quiet

__all__ = ["quantize_file"]

_RECIPES = {"dynamic-int8": "dynamic_wi8_afp32", "weight-int8": "weight_only_wi8_afp32"}


def quantize_file(model: Path, way: str) -> None:
    """Quantize a float32 file in place.

    Args:
        model: The file.
        way: ``dynamic-int8`` computes in integers, with activations quantized as they come;
            ``weight-int8`` only stores weights so.

    Raises:
        MissingError: If ai-edge-quantizer is not installed.
        BackendError: If it cannot quantize the model.
    """
    try:
        with quiet():
            from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise MissingError(
            "ai-edge-quantizer is not installed",
            where="tflite",
            hint="pip install 'irconv-tflite[quantizer]'",
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            tool = quantizer.Quantizer(str(model))
            tool.load_quantization_recipe(getattr(recipe, _RECIPES[way])())
            tool.quantize().export_model(str(model), overwrite=True)
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"ai-edge-quantizer: {str(error).strip().partition(chr(10))[0]}",
            where="tflite",
            hint="leave out quantize=, or quantize the model by irconv's own --quantize",
        ) from error
