"""Running what was emitted: the engine on its GPU, or the graph it was built from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from irconv.backends.base import Artifact
from irconv.errors import BackendError, InputError, MismatchError, MissingError, UnsupportedError
from irconv.runtime.base import Array, Feeds, Runner, Value
from irconv.runtime.onnxruntime import OnnxRuntimeRunner
from irconv.runtime.values import numpy_dtype
from irconv_trt import cuda, sdk
from irconv_trt.backend import GRAPH
from irconv_trt.graph_form import runnable_form
from irconv_trt.header import read_header
from irconv_trt.messages import builder_words

if TYPE_CHECKING:
    from irconv.runtime.base import Level
    from irconv_trt.backend import TrtBackend

__all__ = ["EngineRunner", "GraphRunner", "buffer_bytes", "open_runner"]


def open_runner(backend: TrtBackend, directory: Path, artifact: Artifact) -> Runner:
    """Open the engine if a GPU here can run it, else the graph that it was built from.

    Raises:
        MismatchError: If the engine's header does not hold.
    """
    engine = directory / artifact.main
    if backend.flavor == "rtx":
        version = read_header(engine).version
        wanted = artifact.requires.get("version")
        if wanted is not None and version != wanted:
            raise MismatchError(
                f"the engine was built by version {version}, but its manifest says {wanted}",
                where="engine header",
                hint="compile the model again",
            )
    device = next(
        (device for device in cuda.devices() if _serves(backend, device.capability)), None
    )
    if device is None or not sdk.availability(backend.flavor).ok:
        return GraphRunner(directory / GRAPH)
    stripped = directory / GRAPH if backend.weights == "stripped" else None
    return EngineRunner(sdk.load(backend.flavor), device, engine, artifact.data, weights=stripped)


def _serves(backend: TrtBackend, capability: int) -> bool:
    return backend.flavor == "classic" or "current" in backend.sm or capability in backend.sm


class GraphRunner(Runner):
    """Runs ``graph.onnx``, the exact graph handed to the parser, in ONNX Runtime.

    ONNX Runtime's own graph optimizations are off, since they would run another graph. Where it
    has no kernel for a node, a form of the graph is run that means the same, and described so.

    Args:
        graph: The file.

    Raises:
        MissingError: If ONNX Runtime has no CPU kernel for a node, and no other form of it helps.
    """

    level: Level = "graph"

    def __init__(self, graph: Path) -> None:
        self._form = ""
        try:
            self._runner = OnnxRuntimeRunner(graph, optimize=False)
        except UnsupportedError as error:
            form = runnable_form(graph)
            if form is None:
                raise MissingError(
                    "the engine was built, but there is no GPU here to run it, and ONNX Runtime "
                    f"cannot run the graph in its place: {error.diagnostics[0].reason}",
                    where="target trt",
                    hint="verify it on a machine with a GPU that the engine is for",
                ) from error
            self._runner, self._form = form

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs of the graph."""
        return self._runner.run(feeds)

    def describe(self) -> dict[str, str]:
        """Say plainly what was run and what was not."""
        what = f"the graph handed to the TensorRT-RTX parser was run in ONNX Runtime{self._form}"
        return self._runner.describe() | {
            "note": f"{what}; the engine was built and its header checked, not executed"
        }

    def close(self) -> None:
        """Free the session."""
        self._runner.close()


class EngineRunner(Runner):
    """Runs an engine on a GPU.

    Args:
        library: The library that built it, or a later one of its flavor.
        device: The GPU.
        engine: The engine file.
        names: ``inputs`` and ``outputs``: the model's name of each, and the engine's name.
        weights: The ONNX file to refit a weight-stripped engine from; None for a full engine.
    """

    level: Level = "artifact"

    def __init__(
        self,
        library: sdk.Sdk,
        device: cuda.Device,
        engine: Path,
        names: Mapping[str, Mapping[str, str]],
        *,
        weights: Path | None = None,
    ) -> None:
        self._library, self._device = library, device
        self._inputs, self._outputs = dict(names["inputs"]), dict(names["outputs"])
        self._resources = ExitStack()
        try:
            self._open(engine, weights)
        except BaseException:
            self.close()
            raise

    def _open(self, engine: Path, weights: Path | None) -> None:
        trt = self._library.module
        self._library.drain()
        self._resources.enter_context(cuda.primary_context(self._device))
        self._runtime = trt.Runtime(self._library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise BackendError(
                f"TensorRT does not load the engine: {builder_words(self._library.drain())}",
                where="TensorRT runtime",
                hint=f"it needs TensorRT {self._library.version} and a GPU that it was built for",
            )
        if weights is not None:
            self._refit(weights)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError(
                f"TensorRT cannot run the engine: {builder_words(self._library.drain())}",
                where="TensorRT runtime",
            )
        self._stream = cuda.Stream()
        self._resources.callback(self._stream.close)
        self._buffers = {
            name: cuda.DeviceBuffer() for name in (*self._inputs.values(), *self._outputs.values())
        }
        for buffer in self._buffers.values():
            self._resources.callback(buffer.close)

    def _refit(self, weights: Path) -> None:
        trt, logger = self._library.module, self._library.logger
        refitter = trt.Refitter(self._engine, logger)
        reader = trt.OnnxParserRefitter(refitter, logger)
        if not reader.refit_from_file(str(weights)) or not refitter.refit_cuda_engine():
            raise BackendError(
                f"the engine does not take its weights: {builder_words(self._library.drain())}",
                where="TensorRT refitter",
                hint="compile the model again, with weights=full",
            )

    def run(self, feeds: Feeds) -> dict[str, Value]:
        """Return the outputs of the engine."""
        if self._context is None:
            raise BackendError("the runner is closed", where="TensorRT runtime")
        kept_alive = [self._feed(engine, feeds[name]) for name, engine in self._inputs.items()]
        missing = self._context.infer_shapes()
        if missing:
            raise InputError(
                f"these inputs have sizes outside the engine's profile: {', '.join(missing)}",
                where="TensorRT runtime",
                hint="compile with a wider --shape range",
            )
        grown = {engine: self._prepare(engine) for engine in self._outputs.values()}
        if not self._context.execute_async_v3(self._stream.handle):
            words = builder_words(self._library.drain())
            raise BackendError(f"the engine failed: {words}", where="TensorRT runtime")
        self._stream.synchronize()
        del kept_alive
        return {name: self._fetch(engine, grown[engine]) for name, engine in self._outputs.items()}

    def _feed(self, name: str, value: Value) -> Array:
        if not isinstance(value, np.ndarray):
            raise InputError(f"input {name!r} must be an array", where="TensorRT runtime")
        array = np.ascontiguousarray(value, dtype=self._dtype(name)).reshape(value.shape)
        if not self._context.set_input_shape(name, array.shape):
            raise InputError(
                f"input {name!r} cannot have the shape {list(array.shape)}",
                where="TensorRT runtime",
                hint="compile with a wider --shape range",
            )
        self._buffers[name].write(array.ctypes.data, array.nbytes)
        self._context.set_tensor_address(name, self._buffers[name].reserve(1))
        return array

    def _prepare(self, name: str) -> _Shaped | None:
        shape = tuple(self._context.get_tensor_shape(name))
        buffer = self._buffers[name]
        if min(shape, default=0) < 0:
            allocator = _output_allocator(self._library.module, buffer)
            self._context.set_output_allocator(name, allocator)
            return allocator
        self._context.set_tensor_address(
            name, buffer.reserve(buffer_bytes(shape, self._dtype(name)))
        )
        return None

    def _fetch(self, name: str, grown: _Shaped | None) -> Array:
        shape = tuple(self._context.get_tensor_shape(name)) if grown is None else grown.shape
        array = np.empty(shape, self._dtype(name))
        self._buffers[name].read(array.ctypes.data, array.nbytes)
        return array

    def _dtype(self, name: str) -> np.dtype[Any]:
        return numpy_dtype(sdk.DTYPES[self._engine.get_tensor_dtype(name).name])

    def describe(self) -> dict[str, str]:
        """Return what runs the engine."""
        return {
            "runtime": self._library.runtime,
            "version": self._library.version,
            "device": str(self._device),
            "precision": "as in the engine",
        }

    def close(self) -> None:
        """Free the GPU memory and the engine."""
        self._context = self._engine = self._runtime = None
        self._resources.close()


class _Shaped(Protocol):
    """An output allocator that knows the shape that the engine reported."""

    shape: tuple[int, ...]


def _output_allocator(trt: Any, buffer: cuda.DeviceBuffer) -> _Shaped:
    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        """Gives an output whose size depends on data its memory while the engine runs."""

        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shape: tuple[int, ...] = ()

        def reallocate_output_async(
            self, name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            del name, memory, alignment, stream
            return buffer.reserve(size)

        def notify_shape(self, name: str, shape: Sequence[int]) -> None:
            del name
            self.shape = tuple(shape)

    return Allocator()


def buffer_bytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return the bytes of a dense tensor; a dimension of 0 makes it empty."""
    return math.prod(shape) * dtype.itemsize
