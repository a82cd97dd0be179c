"""A package with one static function a shape set, all over the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.backends.base import EmitRequest
from irconv.graph.interface import input_specs, output_specs
from irconv.passes.base import PassContext
from irconv.passes.bind_shapes import BindShapes
from irconv.passes.fold_constants import FoldConstants
from irconv.passes.infer_shapes import InferShapes
from irconv_coreml.interface import Feature, FunctionShapes
from irconv_coreml.program import Program

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.runtime.base import TensorSpec
    from irconv_coreml.backend import CoremlBackend

__all__ = ["write_functions"]

_FUNCTIONS = {"main": "best", "minimum": "minimum", "maximum": "maximum"}
"""Name of each function, and which size of a range it is for."""


def write_functions(
    coremltools: Any,
    model: ir.Model,
    request: EmitRequest,
    package: Path,
    backend: CoremlBackend,
    convert: Callable[..., None],
) -> tuple[Program, list[FunctionShapes]]:
    """Write a package whose functions are the model at the best, least and largest sizes.

    Returns:
        The program of ``main``, with the source's dynamic shapes in its features; and what each
        function takes.
    """
    described: list[FunctionShapes] = []
    first: Program | None = None
    descriptor = coremltools.utils.MultiFunctionDescriptor()
    with tempfile.TemporaryDirectory(prefix="irconv-coreml-") as scratch:
        for name, point in _FUNCTIONS.items():
            bound = _bound(model, request, point)
            program = Program(coremltools, bound, backend)
            shapes = {
                feature.name: tuple(int(dim or 0) for dim in feature.coreml_shape)
                for feature in program.inputs
            }
            if any(known.shapes == shapes for known in described):
                continue
            path = Path(scratch, f"{name}.mlpackage")
            convert(coremltools, program, EmitRequest(), backend, path)
            descriptor.add_function(str(path), src_function_name="main", target_function_name=name)
            described.append(FunctionShapes(name, shapes))
            first = first or program
        descriptor.default_function_name = "main"
        coremltools.utils.save_multifunction(descriptor, str(package))
    assert first is not None
    first.inputs = _with_names(first.inputs, input_specs(model))
    first.outputs = _with_names(first.outputs, output_specs(model))
    return first, described


def _with_names(features: list[Feature], specs: list[TensorSpec]) -> list[Feature]:
    """Return the features with the named dimensions of the source instead of sizes."""
    dims = {spec.name: spec.shape or () for spec in specs}
    return [
        replace(feature, shape=dims[feature.name], coreml_shape=dims[feature.name] or (1,))
        for feature in features
    ]


def _bound(model: ir.Model, request: EmitRequest, point: str) -> ir.Model:
    """Return a copy with every range bound to one of its sizes."""
    copy = model.clone()
    inputs = {
        dim.value for value in model.graph.inputs for dim in value.shape or ()
        if not isinstance(dim, int)
    }  # fmt: skip
    dims = tuple(
        f"{name}={getattr(span, point)}" for name, span in request.shapes.items() if name in inputs
    )
    for step in (BindShapes(dims), InferShapes(), FoldConstants(), InferShapes()):
        step.run(copy, PassContext())
    return copy
