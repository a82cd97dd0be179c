"""Dtypes that LiteRT's kernels take, and operands brought into them.

Found by running every kernel with every dtype, for LiteRT 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from irconv_tflite.emit.graph import Shape
from irconv_tflite.emit.refusal import RefusalError

__all__ = [
    "FLOAT",
    "INTEGERS",
    "NUMBERS",
    "broadcast",
    "compute_dtype",
    "require_no_uint64",
]

FLOAT = ("float32",)
INTEGERS = ("int32", "int64")
NUMBERS = ("float32", "int32", "int64")

_WIDER = {
    "float16": "float32",
    "bfloat16": "float32",
    "float64": "float32",
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "int32": "int64",
    "bool": "int32",
}
"""The dtype that holds every number of another, as float64's numbers as it can."""


def compute_dtype(dtype: str, taken: Sequence[str]) -> str:
    """Return the dtype to compute in: the given one, or a wider one that a kernel takes.

    Integers wrap around as they should when the result is converted back.

    Args:
        dtype: The dtype of the operands.
        taken: Dtypes that the kernel takes.

    Raises:
        RefusalError: If there is none.
    """
    wider = dtype
    while wider not in taken:
        if wider not in _WIDER:
            raise RefusalError(
                "UNSUPPORTED_DTYPE",
                f"LiteRT's kernel does not compute with {dtype}",
                f"convert that part of the model to {' or '.join(taken)}",
            )
        wider = _WIDER[wider]
    return wider


def broadcast(*shapes: Shape | None) -> Shape | None:
    """Return the shape that shapes broadcast to, by NumPy's rules; dynamic where it may vary."""
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max(map(len, known), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in known]
    return tuple(_broadcast_dim(dims) for dims in zip(*padded, strict=True))


def _broadcast_dim(dims: Sequence[int | None]) -> int | None:
    fixed = [dim for dim in dims if dim not in (None, 1)]
    if fixed:
        return fixed[0]
    return None if None in dims else 1


def require_no_uint64(dtype: str) -> None:
    """Refuse uint64, of which LiteRT's kernels know only the bits.

    Raises:
        RefusalError: If ``dtype`` is uint64.
    """
    if dtype == "uint64":
        raise RefusalError(
            "UNSUPPORTED_DTYPE",
            "LiteRT's kernels do not compute with uint64",
            "convert that part of the model to int64",
        )
