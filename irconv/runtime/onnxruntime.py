"""Running ONNX files by ONNX Runtime on the CPU: the reference runtime.

Only files that irconv wrote itself are opened here, never a user's path.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irconv.errors import BackendError, Diagnostic, UnsupportedError
from irconv.runtime.base import Feeds, Runner, Value
from irconv.runtime.ort_values import from_ort, to_ort

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["FULL_PRECISION", "OnnxRuntimeRunner"]

_QUIET = 4
FULL_PRECISION = {"session.qdq_matmulnbits_accuracy_level": "1"}
"""Session configuration under which a product with dequantized weights is computed in float32.

Left alone, ONNX Runtime rounds the *activations* of such a product to int8 as well.
"""
_PLAIN = {
    "session.disable_prepacking": "1",
    "session.intra_op.allow_spinning": "0",
    "session.use_env_allocators": "1",
}
"""Session configuration of a reference: it runs a few times only, and rounds as it is written.

Left alone, ONNX Runtime packs constant matrices and multiplies by them with another kernel, so
that folding constants alone moves a product by a unit in the last place. Threads that have
nothing to do would spin. Memory comes from one pool of the process, which takes no more than is
asked for, and gives it back after each run. It needs no plan of what lies where in it either
(``enable_mem_pattern``): making one takes time that grows faster than the constants.
"""
_SHRINK = {"memory.enable_memory_arena_shrinkage": "cpu:0"}
_AS_REQUESTED = {
    "max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1,
    "max_dead_bytes_per_chunk": -1,
}  # fmt: skip
"""Configuration of that pool: every extension is as large as what did not fit."""


class OnnxRuntimeRunner(Runner):
    """An ONNX Runtime session.

    Args:
        path: An ``.onnx`` file written by irconv, its external data beside it.
        optimize: Whether ONNX Runtime may apply its own graph optimizations and pack weights.
        threads: Threads within one operator; 0 for one a core.
    """

    def __init__(self, path: Path, *, optimize: bool = True, threads: int = 0) -> None:
        onnxruntime = _import_onnxruntime()
        options = onnxruntime.SessionOptions()
        self._version = str(onnxruntime.__version__)
        self._run_options = onnxruntime.RunOptions()
        options.log_severity_level = _QUIET
        options.enable_mem_pattern = optimize
        options.intra_op_num_threads = threads
        for key, value in (FULL_PRECISION if optimize else FULL_PRECISION | _PLAIN).items():
            options.add_session_config_entry(key, value)
        if not optimize:
            _share_one_pool(onnxruntime)
            for key, value in _SHRINK.items():
                self._run_options.add_run_config_entry(key, value)
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _load_error(error) from error
        self._session: Any = session
        self._inputs = {entry.name for entry in session.get_inputs()}
        outputs = session.get_outputs()
        self._outputs = [entry.name for entry in outputs]
        self._tensors_only = all(str(entry.type).startswith("tensor(") for entry in outputs)

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        if self._session is None:
            raise BackendError("the runner is closed", where="run")
        given = {name: value for name, value in feeds.items() if name in self._inputs}
        try:
            return dict(zip(self._outputs, self._compute(given), strict=True))
        except Exception as error:
            raise BackendError(f"ONNX Runtime: {error}", where="run") from error

    def _compute(self, feeds: Feeds) -> list[Value]:
        arrays = {
            name: value
            for name, value in feeds.items()
            if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS"
        }
        if self._tensors_only and len(arrays) == len(feeds):
            given = {name: to_ort(array) for name, array in arrays.items()}
            values = self._session.run_with_ort_values(self._outputs, given, self._run_options)
            return [from_ort(value) for value in values]
        results: list[Value] = self._session.run(self._outputs, dict(feeds), self._run_options)
        return results

    def describe(self) -> dict[str, str]:
        """Return what runs the model."""
        return {
            "runtime": "onnxruntime",
            "version": self._version,
            "device": "CPU",
            "precision": "as in the model",
        }

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off, unless the user's environment says otherwise.

    Since 1.32 a session otherwise leaves a file with an identifier among the temporary files
    and reports events to its vendor.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


@functools.cache
def _share_one_pool(onnxruntime: ModuleType) -> None:
    """Register the pool that sessions of this process share if they are told to."""
    kind, use = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo("Cpu", kind, 0, use), onnxruntime.OrtArenaCfg(_AS_REQUESTED)
    )


def _load_error(error: Exception) -> Exception:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "NOT_IMPLEMENTED" in text or "NotImplemented" in type(error).__name__:
        return UnsupportedError("onnx", [Diagnostic("NOT_IMPLEMENTED", text)], where="ONNX Runtime")
    return BackendError(f"ONNX Runtime cannot load the model: {text}", where="load")
