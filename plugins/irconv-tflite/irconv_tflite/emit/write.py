"""Writing the artifact: lowering, then what is done to the lowered graph, then the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv_tflite.emit.lower import lower
from irconv_tflite.emit.serialize import write_flatbuffer

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["MODEL", "write_model"]

MODEL = "model.tflite"


def write_model(model: ir.Model, directory: Path) -> dict[str, Any]:
    """Write ``model.tflite`` into ``directory`` and return what the runner must know.

    Args:
        model: The legalized model.
        directory: An empty directory.

    Returns:
        ``inputs`` and ``outputs``: name, dtype and position of each in the file.

    Raises:
        UnsupportedError: If TFLite cannot express the model.
    """
    lowered = lower(model)
    if lowered.diagnostics:
        raise UnsupportedError("tflite", lowered.diagnostics)
    write_flatbuffer(lowered.subgraphs, directory / MODEL, f"{model.graph.name or 'model'}")
    return {
        "inputs": [{"name": spec.name, "dtype": spec.dtype} for spec in input_specs(model)],
        "outputs": [{"name": spec.name, "dtype": spec.dtype} for spec in output_specs(model)],
    }
