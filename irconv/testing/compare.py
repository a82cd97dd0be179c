"""Comparing outputs with those of ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irconv.graph.serialize import save_model
from irconv.runtime.base import Array, Feeds, Value

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["difference", "run_by_onnxruntime"]


def run_by_onnxruntime(model: ir.Model, *samples: Feeds) -> list[dict[str, Value]]:
    """Return the outputs of ``model`` for each sample, with no graph optimization."""
    from irconv.runtime.onnxruntime import OnnxRuntimeRunner

    with tempfile.TemporaryDirectory(prefix="irconv-testing-") as directory:
        path = Path(directory, "model.onnx")
        save_model(model, path)
        with OnnxRuntimeRunner(path, optimize=False, threads=1) as runner:
            return [runner.run(sample) for sample in samples]


def difference(expected: Value, found: Value, rtol: float) -> str:
    """Return how ``found`` differs from ``expected``; empty where it does not.

    Dtypes and shapes must be equal; so must integers, booleans and strings.

    Args:
        expected: The reference.
        found: What is judged.
        rtol: Largest error of a floating-point element, relative to the largest magnitude of
            the whole array; 0 asks for equality, where NaN equals NaN.
    """
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"a sequence of {len(found)}, expected {len(expected)}"
        pairs = zip(expected, found, strict=True)
        return next(filter(None, (difference(a, b, rtol) for a, b in pairs)), "")
    if not (isinstance(expected, np.ndarray) and isinstance(found, np.ndarray)):
        return "" if expected == found else f"{found!r}, expected {expected!r}"
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        return f"{found.dtype}{found.shape}, expected {expected.dtype}{expected.shape}"
    if expected.dtype.kind in "OUSbiu" or rtol == 0.0:
        same = _equal(expected, found)
        return "" if same else f"found {found.flat[:8]}, expected {expected.flat[:8]}"
    wide, narrow = expected.astype(np.float64), found.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    atol = rtol * float(finite.max(initial=0.0))
    if np.allclose(narrow, wide, rtol=0.0, atol=atol, equal_nan=True):
        return ""
    worst = float(np.max(np.abs(narrow - wide)))
    return f"largest error {worst:.3g}, tolerance {atol:.3g}"


def _equal(expected: Array, found: Array) -> bool:
    if expected.dtype.kind in "OUSbiu":
        return bool(np.array_equal(expected, found))
    return bool(np.array_equal(expected.astype(np.complex128), found.astype(np.complex128), True))
