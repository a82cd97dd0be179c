"""Quantizing the written file by ai-edge-quantizer, as a second way beside QDQ models."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

from irconv.errors import BackendError, MissingError
from irconv_tflite.sdk import quiet

__all__ = ["quantize_file"]


def quantize_file(model: Path) -> None:
    """Quantize a float32 file in place, to compute in integers where LiteRT can.

    Weights become int8; activations are quantized as they come.

    Args:
        model: The file.

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
            tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
            tool.quantize().export_model(str(model), overwrite=True)
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"ai-edge-quantizer: {str(error).strip().partition(chr(10))[0]}",
            where="tflite",
            hint="leave out quantize=, or quantize the model by irconv's own --quantize",
        ) from error
