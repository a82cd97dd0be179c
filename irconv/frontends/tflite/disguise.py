"""Numbers that are moved as the bits of another dtype.

LiteRT's kernels that move data know few dtypes, so a file may read the bits of a float64 tensor as
int64, move them, and read them back. ONNX has no operator for bits in the opsets that runtimes
know, and needs none: its operators that move data take every dtype. The tensor keeps its own
dtype in between, disguised as what the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__ = ["disguise_outputs", "prepare_disguised"]

_ALL = slice(None)
_FIRST, _SECOND = slice(0, 1), slice(1, 2)
_MOVERS: Mapping[str, slice] = {
    "BITCAST": _FIRST, "BROADCAST_TO": _FIRST, "CONCATENATION": _ALL, "EXPAND_DIMS": _FIRST,
    "FILL": _SECOND, "GATHER": _FIRST, "GATHER_ND": _FIRST, "PACK": _ALL, "PAD": _FIRST,
    "PADV2": slice(0, 3, 2), "RESHAPE": _FIRST, "REVERSE_V2": _FIRST,
    "REVERSE_SEQUENCE": _FIRST, "SELECT": slice(1, 3), "SELECT_V2": slice(1, 3),
    "SHAPE": _FIRST, "SLICE": _FIRST, "SPLIT": _SECOND, "SPLIT_V": _FIRST, "SQUEEZE": _FIRST,
    "STRIDED_SLICE": _FIRST, "TILE": _FIRST, "TRANSPOSE": _FIRST, "UNPACK": _FIRST,
    "DYNAMIC_UPDATE_SLICE": slice(0, 2),
}  # fmt: skip
"""Operators that move data, and which of their operands are moved."""


def prepare_disguised(site: Site) -> str:
    """Return the dtype behind the operands, or an empty text where they are what they say.

    Constants beside a disguised operand are read as that dtype too.

    Raises:
        RefusalError: If the operator does more with the bits than move them.
    """
    found = {edge.disguise for edge in site.inputs if edge.disguise}
    if not found:
        return ""
    moved = site.inputs[_MOVERS.get(site.code, slice(0, 0))]
    for edge in moved:
        if edge.is_constant:
            edge.disguise = next(iter(found))
    if len(found) > 1 or any(_is_read(edge, moved) for edge in site.inputs):
        raise RefusalError(
            f"it computes with the bits of {' and '.join(sorted(found))} as with integers, which "
            "ONNX cannot"
        )
    return next(iter(found))


def _is_read(edge: Edge, moved: list[Edge]) -> bool:
    return bool(edge.disguise) != (edge in moved)


def disguise_outputs(site: Site, dtype: str) -> None:
    """Pass the dtype behind the operands on to what was made of them."""
    if dtype and site.code not in ("BITCAST", "SHAPE"):
        for edge in site.outputs:
            edge.disguise = dtype
