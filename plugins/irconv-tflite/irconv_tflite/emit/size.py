"""How large a FlatBuffer may become."""

from __future__ import annotations

from collections.abc import Sequence

from irconv.errors import Diagnostic
from irconv_tflite.emit.graph import Subgraph, Tensor
from irconv_tflite.emit.half import halves

__all__ = ["ALIGNMENT", "LENGTH", "MAX_BYTES", "data_bytes", "tensors_of", "too_large"]

MAX_BYTES = (1 << 31) - 1
"""A FlatBuffer's readers take at most 2 GiB - 1."""
ALIGNMENT = 16
LENGTH = 4


def tensors_of(subgraph: Subgraph) -> list[Tensor]:
    """Return every tensor of a subgraph once, inputs first."""
    seen: dict[Tensor, None] = dict.fromkeys(subgraph.inputs)
    for operator in subgraph.operators:
        seen.update(dict.fromkeys(tensor for tensor in operator.inputs if tensor is not None))
        seen.update(dict.fromkeys(operator.outputs))
    seen.update(dict.fromkeys(subgraph.outputs))
    return list(seen)


def data_bytes(subgraphs: Sequence[Subgraph], *, half: bool = False) -> int:
    """Return the bytes that the constants take, before equal ones are stored once.

    Args:
        subgraphs: All subgraphs.
        half: Whether float32 constants will be stored in 16 bits.
    """
    constants = {
        tensor.constant: tensor
        for subgraph in subgraphs
        for tensor in tensors_of(subgraph)
        if tensor.constant is not None
    }
    return sum(
        constant.nbytes // (2 if half and halves(tensor) else 1) + ALIGNMENT + LENGTH
        for constant, tensor in constants.items()
    )


def too_large(size: int) -> Diagnostic:
    """Return the refusal of a model whose constants take ``size`` bytes."""
    return Diagnostic(
        "SIZE_LIMIT",
        f"its constants take {size:,} bytes, and a FlatBuffer holds at most {MAX_BYTES:,}",
        way_out="store them in fewer bits, for example tflite{precision=f16} or "
        "tflite{quantize=weight-int8}, or split the model",
    )
