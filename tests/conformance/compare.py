"""Comparing outputs with the suite's expected ones, as the suite's own runner does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_BFLOAT16_RTOL = 2.0**-6
"""Two units in the last place of bfloat16, which is what the suite's runner allows."""


def difference(
    actual: Sequence[Any], expected: Sequence[Any], tolerance: tuple[float, float]
) -> str:
    """Return what differs first, or the empty string.

    Args:
        actual: The outputs, in order; a list for a sequence.
        expected: The suite's outputs.
        tolerance: Relative and absolute tolerance.
    """
    if len(actual) != len(expected):
        return f"{len(actual)} outputs, expected {len(expected)}"
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        if isinstance(theirs, (list, tuple)):
            if not isinstance(ours, (list, tuple)):
                return f"output {index} is no sequence"
            found = difference(ours, theirs, tolerance)
        else:
            found = _tensor_difference(ours, theirs, tolerance)
        if found:
            return f"output {index}: {found}"
    return ""


def _tensor_difference(ours: Any, theirs: Any, tolerance: tuple[float, float]) -> str:
    if theirs is None or ours is None:
        return "" if theirs is ours else "one of the two is an empty optional"
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, expected {theirs.shape}"
    if theirs.dtype.kind in "OUS":
        same = _texts(ours) == _texts(theirs)
        return "" if same else "strings differ"
    if ours.dtype != theirs.dtype:
        return f"dtype {ours.dtype}, expected {theirs.dtype}"
    rtol, atol = tolerance
    if theirs.dtype.name == "bfloat16":
        rtol = max(rtol, _BFLOAT16_RTOL)
    if theirs.dtype.isbuiltin != 1:
        ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    with np.errstate(all="ignore"):
        close = np.isclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)
        if close.all():
            return ""
        error = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        worst = np.nanmax(error) if np.isfinite(error).any() else float("nan")
    return f"{int((~close).sum())} of {close.size} values differ, by up to {worst:.3g}"


def _texts(array: Any) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in array.flat]
