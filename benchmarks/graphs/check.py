"""Sample inputs beside a graph, and the proof that it computes what its network does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from architectures.export import require_ordinary
from architectures.registry import Network

from irconv.runtime.values import save_samples

__all__ = ["check_source", "compare", "outputs_of"]

_MOST_ERROR = 1e-3


def check_source(network: Network, samples: Sequence[tuple[torch.Tensor, ...]], path: Path) -> None:
    """Write the samples beside ``path``; compare the file with its network on each.

    Raises:
        ValueError: If an output says too little or differs.
    """
    feeds = []
    for values in samples:
        with torch.no_grad():
            results = network.module(*values)
        expected = results if isinstance(results, tuple) else (results,)
        for result in expected:
            require_ordinary(path.stem, result)
        feed = {name: value.numpy() for name, value in zip(network.inputs, values, strict=True)}
        compare(path, feed, [result.numpy() for result in expected])
        feeds.append(feed)
    save_samples(path.with_suffix(".npz"), feeds)


def compare(path: Path, feed: dict[str, np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Raise ``ValueError`` if ONNX Runtime gives something else than ``expected``."""
    for want, got in zip(expected, outputs_of(path, feed), strict=True):
        error = float(np.abs(want - got).max() / np.abs(want).max())
        if got.shape != want.shape or not error <= _MOST_ERROR:
            raise ValueError(f"{path.name}: {got.shape} for {want.shape}, error {error:.3g}")


def outputs_of(
    path: Path, feed: dict[str, np.ndarray], *, optimized: bool = False
) -> list[np.ndarray]:
    """Run a model in ONNX Runtime, with its own optimizer off or as it is by default."""
    options = ort.SessionOptions()
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)
