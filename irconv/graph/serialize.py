"""Writing a model to disk without a second copy of its weights.

Weights of a model over the inline limit go to one external data file beside the model; mapped
weights are copied there inside the kernel. The target directory must be new: writing over a
mapped file would destroy it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from irconv.graph.walk import all_graphs

__all__ = ["EXTERNAL_DATA_SUFFIX", "INLINE_LIMIT", "save_model", "weight_bytes"]

INLINE_LIMIT = 1 << 30
"""Above this many bytes of weights a model does not fit one protobuf file safely."""
EXTERNAL_DATA_SUFFIX = ".data"
_EXTERNAL_THRESHOLD = 1024


def weight_bytes(model: ir.Model) -> int:
    """Return the bytes of all initializers; a tensor that is shared counts once."""
    return sum(tensor.nbytes for tensor in _distinct_tensors(model))


def _distinct_tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    seen: set[int] = set()
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def save_model(model: ir.Model, path: Path, *, inline_limit: int = INLINE_LIMIT) -> list[Path]:
    """Write ``model`` as ONNX and return the files written.

    Args:
        model: The model; it is left as it was.
        path: Path of the ``.onnx`` file; neither it nor ``path.name + ".data"`` may exist.
        inline_limit: Weights of more bytes than this go to ``path.name + ".data"``.

    Raises:
        FileExistsError: If a file is in the way.
        OSError: If the disk is full or the folder cannot be written.
    """
    data = path.with_name(path.name + EXTERNAL_DATA_SUFFIX)
    for file in (path, data):
        if file.exists():
            raise FileExistsError(f"{file} exists")
    if weight_bytes(model) <= inline_limit:
        ir.save(model, path)
        return [path]
    ir.save(model, path, external_data=data.name, size_threshold_bytes=_EXTERNAL_THRESHOLD)
    return [path, data] if data.exists() else [path]
