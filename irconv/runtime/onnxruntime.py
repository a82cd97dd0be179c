"""Running ONNX files by ONNX Runtime on the CPU: the reference runtime.

Only files that irconv wrote itself are opened here, never a user's path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from irconv.errors import BackendError, Diagnostic, UnsupportedError
from irconv.runtime.base import Array, Feeds, Runner, Value
from irconv.runtime.values import dtype_name, numpy_dtype

__all__ = ["OnnxRuntimeRunner"]

_QUIET = 4


class OnnxRuntimeRunner(Runner):
    """An ONNX Runtime session.

    Args:
        path: An ``.onnx`` file written by irconv, its external data beside it.
        optimize: Whether ONNX Runtime may apply its own graph optimizations.
        threads: Threads within one operator; 0 for one a core.
    """

    def __init__(self, path: Path, *, optimize: bool = True, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = threads
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _load_error(error) from error
        self._types = {entry.name: str(entry.type) for entry in self._session.get_inputs()}
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs; see :meth:`irconv.runtime.base.Runner.run`."""
        given = {name: self._to_ort(value) for name, value in feeds.items() if name in self._types}
        try:
            results = (
                self._session.run_with_ort_values(self._outputs, given)
                if all(
                    not isinstance(value, (list, dict)) and value is not None
                    for value in feeds.values()
                )
                else None
            )
            if results is None:
                plain = self._session.run(self._outputs, dict(feeds))
                return dict(zip(self._outputs, plain, strict=True))
        except Exception as error:
            raise BackendError(f"ONNX Runtime: {error}", where="run") from error
        return {name: _from_ort(value) for name, value in zip(self._outputs, results, strict=True)}

    def _to_ort(self, value: Value) -> Any:
        import onnxruntime

        if not isinstance(value, np.ndarray):
            return value
        name = dtype_name(value.dtype)
        if name in _ONNX_TYPES:
            bits = np.ascontiguousarray(value).view(
                np.uint8 if value.dtype.itemsize == 1 else np.uint16
            )
            return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _ONNX_TYPES[name])
        return onnxruntime.OrtValue.ortvalue_from_numpy(value)

    def describe(self) -> dict[str, str]:
        """Return what runs the model."""
        import onnxruntime

        return {
            "runtime": "onnxruntime",
            "version": onnxruntime.__version__,
            "device": "CPU",
            "precision": "as in the model",
        }

    def close(self) -> None:
        """Free the session."""
        del self._session


def _onnx_types() -> dict[str, int]:
    import onnx_ir as ir

    names = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
    return {name: int(ir.DataType.from_numpy(numpy_dtype(name))) for name in names}


_ONNX_TYPES = _onnx_types()


def _from_ort(value: Any) -> Value:
    if not value.is_tensor():
        result: Value = value.numpy()
        return result
    array: Array = value.numpy()
    return array


def _load_error(error: Exception) -> Exception:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "NOT_IMPLEMENTED" in text or "NotImplemented" in type(error).__name__:
        return UnsupportedError("onnx", [Diagnostic("NOT_IMPLEMENTED", text)], where="ONNX Runtime")
    return BackendError(f"ONNX Runtime cannot load the model: {text}", where="load")
