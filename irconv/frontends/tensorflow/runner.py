"""Running a TensorFlow model as the reference.

This module needs TensorFlow and is imported in the worker process only.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from irconv.errors import BackendError
from irconv.frontends.factories import first_line
from irconv.frontends.tensorflow.source import Source
from irconv.runtime.base import Feeds, Runner, Value

__all__ = ["TensorflowRunner"]


class TensorflowRunner(Runner):
    """Calls the model itself, not what became of it, with named inputs.

    Args:
        source: The model.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        tensors = [
            tf.constant(np.asarray(feeds[spec.name]), dtype=spec.dtype)
            for spec in self._source.inputs
        ]
        try:
            results = self._source.call(tensors)
        except Exception as error:
            raise BackendError(
                f"TensorFlow fails on an input: {first_line(error)}", where="frontend tensorflow"
            ) from error
        return {
            name: np.asarray(result.numpy())
            for name, result in zip(self._source.outputs, results, strict=True)
        }

    def describe(self) -> dict[str, str]:
        """Return what runs the model."""
        return {
            "runtime": "tensorflow",
            "version": tf.__version__,
            "device": "CPU",
            "precision": "as in the model",
        }
