"""Writing the artifact: lowering, then what is done to the lowered graph, then the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv_tflite.emit.borders import move_borders
from irconv_tflite.emit.half import halve_constants
from irconv_tflite.emit.lower import lower
from irconv_tflite.emit.runtime_versions import runtime_version
from irconv_tflite.emit.serialize import write_flatbuffer

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.runtime.base import TensorSpec
    from irconv_tflite.emit.graph import Tensor

__all__ = ["MODEL", "write_model"]

MODEL = "model.tflite"
_RUNTIME = "min_runtime_version"
_RUNTIME_BYTES = 16
"""Readers take this buffer as a text of fixed length, filled up with zeros."""
_INTERFACE = "irconv"


def write_model(
    model: ir.Model, directory: Path, *, half: bool = False, channels_last: bool = False
) -> dict[str, Any]:
    """Write ``model.tflite`` into ``directory`` and return what the runner must know.

    Args:
        model: The legalized model.
        directory: An empty directory.
        half: Whether to store constants in 16 bits.
        channels_last: Whether to give inputs and outputs as channel-last where the graph
            transposes them.

    Returns:
        ``inputs`` and ``outputs``: name and dtype of each in the source, in the order of the
        file; ``permutation`` from the source's layout, where it is another. The file itself
        holds the same as JSON in its metadata ``irconv``. ``min_runtime_version``: the lowest
        TFLite that has all operators.

    Raises:
        UnsupportedError: If TFLite cannot express the model.
    """
    lowered = lower(model)
    if lowered.diagnostics:
        raise UnsupportedError("tflite", lowered.diagnostics)
    main = lowered.subgraphs[0]
    moved = move_borders(main) if channels_last else {}
    if half:
        for subgraph in lowered.subgraphs:
            halve_constants(subgraph, lowered.names)
    interface = {
        "inputs": _entries(input_specs(model), main.inputs, moved),
        "outputs": _entries(output_specs(model), main.outputs, moved),
    }
    runtime = runtime_version(lowered.subgraphs)
    metadata = {
        _RUNTIME: runtime.encode().ljust(_RUNTIME_BYTES, b"\0"),
        _INTERFACE: json.dumps(interface).encode(),
    }
    write_flatbuffer(lowered.subgraphs, directory / MODEL, model.graph.name or "model", metadata)
    return {**interface, _RUNTIME: runtime}


def _entries(
    specs: Sequence[TensorSpec],
    tensors: Sequence[Tensor],
    moved: Mapping[Tensor, tuple[int, ...]],
) -> list[dict[str, Any]]:
    return [
        {"name": spec.name, "dtype": spec.dtype, "tensor": tensor.name}
        | ({"permutation": list(moved[tensor])} if tensor in moved else {})
        for spec, tensor in zip(specs, tensors, strict=True)
    ]
