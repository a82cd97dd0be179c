"""From the bytes of an ONNX file to an engine: parse, check, profile, build."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import BackendError, Diagnostic, MissingError, UnsupportedError
from irconv.runtime.base import TensorSpec
from irconv_trt import cuda
from irconv_trt.messages import builder_words, notes_of
from irconv_trt.parse import parse
from irconv_trt.profiles import Profile
from irconv_trt.sdk import DTYPES, Sdk

if TYPE_CHECKING:
    from irconv_trt.backend import TrtBackend

__all__ = ["Built", "build_engine"]


@dataclass(frozen=True)
class Built:
    """What building told.

    Attributes:
        inputs: The engine's names of the model's inputs, in the model's order.
        outputs: The engine's names of the model's outputs, in the model's order.
        notes: Warnings that a user should read.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]


def build_engine(
    sdk: Sdk,
    backend: TrtBackend,
    graph: Path,
    engine: Path,
    profile: Profile,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> Built:
    """Build the engine of the ONNX file ``graph``, which irconv wrote, into the file ``engine``.

    Args:
        sdk: The library.
        backend: The options.
        graph: The model; its external data lies beside it.
        engine: The file to write.
        profile: The sizes of each input with dynamic dimensions.
        inputs: The model's inputs.
        outputs: The model's outputs.

    Raises:
        UnsupportedError: If the parser or the builder refuses the model, with every node that
            the parser named.
        MissingError: If the build needs a GPU and there is none.
    """
    parsed = parse(sdk, graph)
    network, messages = parsed.network, parsed.messages
    found_inputs = [network.get_input(index) for index in range(network.num_inputs)]
    found_outputs = [network.get_output(index) for index in range(network.num_outputs)]
    problems = [
        *_shape_inputs(found_inputs),
        *_interface("input", found_inputs, inputs),
        *_interface("output", found_outputs, outputs),
    ]
    if problems:
        raise UnsupportedError("trt", problems, where="TensorRT network")
    names = {spec.name: tensor.name for spec, tensor in zip(inputs, found_inputs, strict=True)}
    sizes = {names[name]: shapes for name, shapes in profile.items()}
    config = _configure(sdk.module, backend, parsed.builder, sizes)
    plan = parsed.builder.build_serialized_network(network, config)
    messages += sdk.drain()
    if plan is None:
        raise _build_error(backend, builder_words(messages))
    engine.write_bytes(memoryview(plan))
    return Built(
        tuple(tensor.name for tensor in found_inputs),
        tuple(tensor.name for tensor in found_outputs),
        tuple(notes_of(messages)),
    )


def _configure(trt: Any, backend: TrtBackend, builder: Any, profile: Profile) -> Any:
    config = builder.create_builder_config()
    if not backend.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if backend.weights == "stripped":
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
    if backend.workspace_mib is not None:
        config.set_memory_pool_limit(
            trt.MemoryPoolType.WORKSPACE, backend.workspace_mib * 1024 * 1024
        )
    if backend.flavor == "rtx":
        names = backend.compute_capabilities()
        config.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    if profile:
        made = builder.create_optimization_profile()
        for name, (low, best, high) in profile.items():
            made.set_shape(name, low, best, high)
        config.add_optimization_profile(made)
    return config


def _build_error(backend: TrtBackend, words: str) -> MissingError | UnsupportedError | BackendError:
    if not cuda.devices():
        if backend.weights == "stripped":
            return MissingError(
                "a weight-stripped engine can be built only on a machine with an NVIDIA GPU; "
                f"the builder said: {words}",
                where="TensorRT builder",
                hint="build it on a machine with a GPU, for one sm, or leave weights=stripped out",
            )
        if "current" in backend.sm:
            return MissingError(
                "sm=current builds for the GPU of this machine, and it has none; "
                f"the builder said: {words}",
                where="TensorRT builder",
                hint="name the GPUs instead, for example sm=[80,86,89]",
            )
    if "MyelinCheckException" in words or "out of memory" in words.lower():
        return BackendError(
            f"the builder failed: {words}",
            where="TensorRT builder",
            hint="this is a defect of the builder; try other options, or simplify the model",
        )
    return UnsupportedError(
        "trt", [Diagnostic("BUILDER", f"the builder refused it: {words}")], where="TensorRT builder"
    )


def _shape_inputs(tensors: Iterable[Any]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "SHAPE_INPUT",
            f"input {tensor.name!r} gives a shape or a size, so its values would have to be known "
            "when the engine is built",
            way_out="fix the shape in the model, or take it from the shape of another input",
        )
        for tensor in tensors
        if tensor.is_shape_tensor
    ]


def _interface(kind: str, found: Sequence[Any], wanted: Sequence[TensorSpec]) -> list[Diagnostic]:
    if len(found) != len(wanted):
        names = ", ".join(tensor.name for tensor in found) or "none"
        return [Diagnostic("INTERFACE", f"the engine would have other {kind}s: {names}")]
    problems: list[Diagnostic] = []
    for tensor, spec in zip(found, wanted, strict=True):
        dtype = DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower())
        shape = tuple(tensor.shape)
        if dtype != spec.dtype or not _fits(shape, spec):
            dims = ",".join("?" if dim < 0 else str(dim) for dim in shape)
            problems.append(
                Diagnostic(
                    "INTERFACE",
                    f"the engine would have {kind} {tensor.name}: {dtype}[{dims}] in place of "
                    f"{spec}",
                )
            )
    return problems


def _fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    if spec.shape is None:
        return True
    if len(shape) != len(spec.shape):
        return False
    return all(
        have < 0 or not isinstance(want, int) or have == want
        for have, want in zip(shape, spec.shape, strict=True)
    )
