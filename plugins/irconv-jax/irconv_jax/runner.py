"""Running a function of JAX as the reference.

This module needs JAX and is imported in the worker process only.
"""

from __future__ import annotations

import jax
import numpy as np

from irconv.errors import BackendError
from irconv.frontends.factories import first_line, user_line
from irconv.runtime.base import Feeds, Runner, Value
from irconv_jax.program import Program

__all__ = ["JaxRunner"]


class JaxRunner(Runner):
    """Calls a program, compiled by JAX, with named inputs and gives its outputs their names."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._compiled = jax.jit(lambda *arrays: program.call(*arrays))

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        try:
            results = self._compiled(*(feeds[spec.name] for spec in self._program.inputs))
        except Exception as error:
            raise BackendError(
                f"the function fails on an input: {first_line(error)}",
                where=user_line(error, "frontend jax"),
            ) from error
        return {
            name: np.asarray(result)
            for name, result in zip(self._program.outputs, results, strict=True)
        }

    def describe(self) -> dict[str, str]:
        """Return what runs the function."""
        return {
            "runtime": "jax",
            "version": jax.__version__,
            "device": "CPU",
            "precision": "as in the function",
        }
