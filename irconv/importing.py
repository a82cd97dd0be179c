"""Bringing a source into the IR: the frontend is chosen, run, and closed again."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx_ir as ir

from irconv.config import CompileOptions
from irconv.errors import InputError, UsageError
from irconv.frontends.base import Frontend, Imported, ImportRequest
from irconv.frontends.choose import choose_frontend
from irconv.graph.interface import input_specs
from irconv.plugins import Registry
from irconv.shapes import DimRange, parse_input, parse_shapes

__all__ = ["import_model"]


@contextlib.contextmanager
def import_model(source: str, options: CompileOptions, registry: Registry) -> Iterator[Imported]:
    """Import ``source``; what the import keeps alive ends with the context.

    Args:
        source: Path of a model, or ``module:factory`` with ``options.trust``.
        options: ``frontend``, ``inputs``, ``outputs``, ``signature``, ``shapes``, ``trust`` and
            the limits of workers.
        registry: Where the frontends come from.

    Raises:
        UsageError: If the frontend has no use for a signature or names of outputs.
        InputError: If the source cannot be used, or a range names a dimension that it lacks.
        MissingError: If the source's framework is not installed.
    """
    shapes = parse_shapes(options.shapes)
    inputs = [parse_input(text) for text in options.inputs]
    frontend = choose_frontend(registry, source, options.frontend)
    with tempfile.TemporaryDirectory(prefix="irconv-import-") as directory:
        request = ImportRequest(
            directory=Path(directory),
            limits=options.frontend_limits(),
            trust=options.trust,
            inputs=inputs,
            shapes=shapes,
            signature=options.signature,
            outputs=options.outputs,
        )
        _check_use(frontend, request)
        imported = frontend.load(source, request)
        with contextlib.closing(imported):
            _name_positions(imported.model, shapes)
            _check_dimension_names(imported, shapes)
            yield imported


def _check_use(frontend: Frontend, request: ImportRequest) -> None:
    """Refuse what the frontend would ignore."""
    given = {
        "signature": ("--signature", request.signature is not None),
        "outputs": ("--output-name", bool(request.outputs)),
    }
    for what, (option, is_given) in given.items():
        if is_given and what not in frontend.takes:
            raise UsageError(
                f"frontend {frontend.name!r} does not choose by {option}",
                where=option,
                hint=f"leave {option} out, or name another frontend by --frontend",
            )


def _name_positions(model: ir.Model, shapes: Mapping[str, DimRange]) -> None:
    """Let ``x[0]`` be the name of a dimension of input ``x`` that has neither name nor size."""
    for value in model.graph.inputs:
        dims = [] if value.shape is None else list(value.shape)
        names = [f"{value.name}[{axis}]" for axis in range(len(dims))]
        named = [
            name if name in shapes and not isinstance(dim, int) and dim.value is None else dim
            for name, dim in zip(names, dims, strict=True)
        ]
        if named != dims:
            value.shape = ir.Shape(named)


def _check_dimension_names(imported: Imported, shapes: Mapping[str, DimRange]) -> None:
    """Refuse a range for a dimension that no input has; it would be ignored otherwise."""
    specs = input_specs(imported.model)
    free = {
        dim or f"{spec.name}[{axis}]"
        for spec in specs
        for axis, dim in enumerate(spec.shape or ())
        if not isinstance(dim, int)
    }
    unknown = sorted(set(shapes) - free)
    if unknown:
        raise InputError(
            f"--shape names {unknown}, but the inputs have "
            + (f"the free dimensions {sorted(free)}" if free else "no free dimensions"),
            where="--shape",
            hint="`irconv inspect` shows the inputs with their dimensions",
        )
