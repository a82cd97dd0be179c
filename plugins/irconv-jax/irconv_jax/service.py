"""JAX in a worker: one process builds, converts and runs a function."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np

from irconv.runtime.service import RunnerService
from irconv.runtime.values import save_samples
from irconv.shapes import InputSpec
from irconv_jax.convert import to_onnx
from irconv_jax.program import Program, open_program
from irconv_jax.runner import JaxRunner

__all__ = ["JaxService"]


class JaxService(RunnerService):
    """Holds one function, from its source to its reference outputs."""

    def __init__(self) -> None:
        super().__init__()
        self._program: Program

    def open(
        self, target: str, inputs: Sequence[tuple[str, Sequence[int | str | None], str | None]]
    ) -> None:
        """Build a function by its factory.

        Args:
            target: ``package.module:factory``.
            inputs: Name, dims and dtype of each stated input.

        Raises:
            InputError: If the factory fails, or the inputs do not fit.
        """
        stated = [InputSpec(name, tuple(dims), dtype) for name, dims, dtype in inputs]
        self._program = open_program(target, stated)
        self._runner = JaxRunner(self._program)

    def export(
        self, path: str, examples: str, opset: int, shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, Any]:
        """Write the function as ONNX, and its example arguments where it has any.

        Args:
            path: The ``.onnx`` file to write.
            examples: The ``.npz`` file to write examples to.
            opset: The opset to write.
            shapes: Minimum and maximum of named dimensions.

        Returns:
            ``notes``, and ``examples``: whether they were written.

        Raises:
            InputError: If JAX cannot trace the function.
            UnsupportedError: If it has no translation to ONNX.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes = [*self._program.notes, *to_onnx(self._program, Path(path), opset)]
        arrays = self._program.examples
        if arrays is None:
            return {"examples": False, "notes": notes}
        outside = _outside(self._program, arrays, shapes)
        if outside:
            return {"examples": False, "notes": [*notes, outside]}
        names = [spec.name for spec in self._program.inputs]
        feeds = dict(zip(names, map(np.asarray, arrays), strict=True))
        save_samples(Path(examples), [feeds])
        return {"examples": True, "notes": notes}


def _outside(program: Program, arrays: Sequence[Any], shapes: Mapping[str, Sequence[int]]) -> str:
    """Return why the examples cannot be used; they may be outside of the ranges asked for."""
    for spec, array in zip(program.inputs, arrays, strict=True):
        for dim, size in zip(spec.shape or (), array.shape, strict=True):
            low, high = shapes.get(str(dim), (size, size))
            if not low <= size <= high:
                return f"the example arguments have {dim}={size} and were left out"
    return ""
