"""How far a target's outputs are from ONNX Runtime's, and both from the same network in float64."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from exact import exact_outputs

from irconv.runtime.onnxruntime import OnnxRuntimeRunner

__all__ = ["Errors", "inputs_like"]

_MASK = 1
"""Integers up to this one say which tokens count and are kept."""
Arrays = Mapping[str, np.ndarray]


class Errors:
    """The outputs that those of a target are held against, for several inputs.

    Args:
        path: The ONNX file.
        samples: Its inputs.
        exact: Whether to compute them in float64 too, which takes seconds for each.
    """

    def __init__(self, path: Path, samples: Sequence[Arrays], *, exact: bool) -> None:
        with OnnxRuntimeRunner(path) as runner:
            self.expected: list[Any] = [runner.run(sample) for sample in samples]
        self.exact = [exact_outputs(path, sample) for sample in samples] if exact else []
        self.samples = samples

    def of(self, run: Callable[[Arrays], Any]) -> dict[str, float]:
        """Return the errors of what ``run`` gives for the inputs.

        Returns:
            The largest difference from ONNX Runtime for the median input and for the worst, and
            the same from float64.
        """
        found = [run(sample) for sample in self.samples]
        return self._summary(found, self.expected, "") | self._summary(found, self.exact, "exact_")

    def of_reference(self) -> dict[str, float]:
        """Return ONNX Runtime's own errors against float64."""
        return self._summary(self.expected, self.exact, "exact_")

    @staticmethod
    def _summary(found: list[Any], wanted: list[Any], name: str) -> dict[str, float]:
        if not wanted:
            return {}
        errors = [largest_error(*pair) for pair in zip(found, wanted, strict=True)]
        return {f"{name}error": statistics.median(errors), f"{name}max_error": max(errors)}


def largest_error(actual: Arrays, expected: Arrays) -> float:
    """Return the largest absolute difference over all outputs."""
    return max(
        float(np.abs(np.asarray(actual[name], np.float64) - np.asarray(value, np.float64)).max())
        for name, value in expected.items()
    )


def inputs_like(sample: Arrays, count: int) -> list[Arrays]:
    """Return the sample and further inputs of its shapes, drawn from a seed.

    Args:
        sample: Inputs by name; floats are drawn normally, and integers below the largest.
        count: How many to return.
    """
    samples = [sample]
    for seed in range(1, count):
        random = np.random.default_rng(seed)
        samples.append({name: _drawn(value, random) for name, value in sample.items()})
    return samples


def _drawn(value: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if value.dtype.kind == "f":
        return random.standard_normal(value.shape).astype(value.dtype)
    if value.max() <= _MASK:
        return value
    return random.integers(0, value.max(), value.shape, value.dtype)
