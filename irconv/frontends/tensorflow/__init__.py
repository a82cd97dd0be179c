"""The TensorFlow frontend: SavedModels, Keras files, frozen graphs, and trusted factories.

What looks into a file is free of TensorFlow; what needs TensorFlow runs in a worker.
"""

from __future__ import annotations

from irconv.frontends.tensorflow.frontend import TensorflowFrontend

__all__ = ["TensorflowFrontend"]
