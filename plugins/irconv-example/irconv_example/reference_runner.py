"""Running an ONNX model in the reference evaluator of ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from irconv.errors import BackendError
from irconv.runtime.base import Feeds, Runner, Value

__all__ = ["ReferenceRunner"]


class ReferenceRunner(Runner):
    """An evaluator with a model loaded.

    Args:
        path: An ``.onnx`` file written by irconv.
    """

    level = "artifact"

    def __init__(self, path: Path) -> None:
        self._evaluator: ReferenceEvaluator | None = ReferenceEvaluator(str(path))

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._evaluator is None:
            raise BackendError("the runner is closed", where="run")
        names = self._evaluator.output_names
        try:
            results = self._evaluator.run(None, dict(feeds))
        except Exception as error:
            raise BackendError(f"onnx.reference: {error}", where="run") from error
        return {name: _as_value(result) for name, result in zip(names, results, strict=True)}

    def describe(self) -> dict[str, str]:
        """Return what runs the model."""
        return {
            "runtime": "onnx.reference",
            "version": onnx.__version__,
            "device": "CPU",
            "precision": "as in the model",
        }

    def close(self) -> None:
        """Drop the evaluator and its weights."""
        self._evaluator = None


def _as_value(result: object) -> Value:
    """Turn the NumPy scalar of an output without dimensions into an array."""
    return result if isinstance(result, list) or result is None else np.asarray(result)
