"""Writing ``model.mlpackage`` from a legalized model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.backends.base import Artifact, EmitRequest, Precision
from irconv.errors import Diagnostic, UnsupportedError
from irconv.graph.interface import input_specs
from irconv.verify.precision import model_precision
from irconv_coreml.features import input_types
from irconv_coreml.functions import write_functions
from irconv_coreml.interface import PACKAGE
from irconv_coreml.package_digests import package_digests
from irconv_coreml.program import Program
from irconv_coreml.sdk import load_coremltools

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv_coreml.backend import CoremlBackend

__all__ = ["convert", "write_package"]

_PASSES = (
    "common::noop_elimination",
    "common::cast_optimization",
    "common::const_elimination",
    "common::dead_code_elimination",
    "common::fuse_matmul_weight_bias",
    "common::fuse_linear_bias",
    "common::fuse_gelu_tanh_approximation",
    "common::fuse_gelu_exact",
    "common::fuse_layernorm_or_instancenorm",
    "common::merge_consecutive_reshapes",
    "common::merge_consecutive_transposes",
    "common::reduce_transposes",
    "common::dead_code_elimination",
    "common::dedup_op_and_var_names",
)
"""coremltools' passes that leave weights as they are; irconv has done the folding before."""
_HALF = ("common::add_fp16_cast", "common::update_output_dtypes")
_LAST = (
    "common::const_elimination",
    "common::cast_optimization",
    "common::dead_code_elimination",
    "common::const_deduplication",
    "common::topological_reorder",
    "common::dead_code_elimination",
)
_COARSENESS: tuple[Precision, ...] = ("float64", "float32", "tf32", "float16", "bfloat16", "int8")


def write_package(
    model: ir.Model, directory: Path, request: EmitRequest, backend: CoremlBackend
) -> Artifact:
    """Write the package and say what it holds; see :mod:`irconv_coreml.interface`.

    Raises:
        UnsupportedError: If MIL's builder or coremltools refuses the model.
    """
    coremltools = load_coremltools()
    with (
        _scratch(directory),
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        if backend.shapes == "functions" and _has_ranges(model, request):
            program, functions = write_functions(
                coremltools, model, request, directory / PACKAGE, backend, convert
            )
        else:
            program, functions = Program(coremltools, model, backend), []
            convert(coremltools, program, request, backend, directory / PACKAGE)
    return Artifact(
        main=PACKAGE,
        precision=_judged(model, backend),
        requires={
            "runtime": "coreml",
            "version": backend.target,
            "device": "a device with that system or newer; macOS of the same year",
        },
        notes=_notes(backend),
        data={
            "inputs": [feature.to_json() for feature in program.inputs],
            "outputs": [feature.to_json() for feature in program.outputs],
            "function": "main",
            "functions": [function.to_json() for function in functions],
            "weights": {name: digest.to_json() for name, digest in program.digests.items()},
            "coremltools": importlib.metadata.version("coremltools"),
        },
    )


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[None]:
    """Make coremltools keep its temporary packages, as large as the model, where it is written."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=directory) as scratch:
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            tempfile.tempdir = before


def _has_ranges(model: ir.Model, request: EmitRequest) -> bool:
    dims = {dim for spec in input_specs(model) for dim in spec.shape or ()}
    return any(isinstance(dim, str) and dim in request.shapes for dim in dims)


def convert(
    coremltools: Any,
    program: Program,
    request: EmitRequest,
    backend: CoremlBackend,
    package: Path,
) -> None:
    """Write a program as a package, and note the digests of its weights."""
    half = backend.precision == "f16"
    precision = coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32
    try:
        model = coremltools.convert(
            program.mil,
            convert_to="mlprogram",
            inputs=input_types(coremltools, program, request, backend),
            minimum_deployment_target=getattr(coremltools.target, backend.target),
            compute_precision=precision,
            skip_model_load=True,
            pass_pipeline=_pipeline(coremltools, half=half),
            package_dir=str(package),
        )
        program.digests = package_digests(model._mil_program, program.weights, half=half)
    except (ValueError, TypeError, NotImplementedError, RuntimeError, AssertionError) as error:
        text = str(error).strip().splitlines()
        raise UnsupportedError(
            "coreml",
            [Diagnostic("CONVERT", f"coremltools says: {text[0] if text else error!r}")],
            where="coremltools",
        ) from error


def _pipeline(coremltools: Any, *, half: bool) -> Any:
    passes = [*_PASSES, *(_HALF if half else ()), *_LAST]
    return coremltools.PassPipeline(pass_names=passes, pipeline_name="irconv")


def _judged(model: ir.Model, backend: CoremlBackend) -> Precision:
    candidates: list[Precision] = [model_precision(model), "float32"]
    if backend.precision == "f16":
        candidates.append("float16")
    return max(candidates, key=_COARSENESS.index)


def _notes(backend: CoremlBackend) -> tuple[str, ...]:
    notes = ["integers are 32 bits wide in Core ML: results beyond that wrap"]
    if backend.weights != "none":
        notes.append(f"weights are stored as {backend.weights}, which rounds them")
    return tuple(notes)
