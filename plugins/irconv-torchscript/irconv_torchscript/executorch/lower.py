"""Lowering a module to an ExecuTorch program (``.pte``)."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from irconv.backends.ways_out import binding_way_out
from irconv.errors import Diagnostic, UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv_torchscript.executorch.decompositions import decompose
from irconv_torchscript.executorch.sdk import (
    load_exporter,
    load_partitioner,
    load_runtime,
    same_environment,
)
from irconv_torchscript.module import build_module, example_inputs

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.runtime.base import TensorSpec
    from irconv.shapes import DimRange

__all__ = ["MODEL", "Delegate", "write_program"]

MODEL = "model.pte"
Delegate = Literal["xnnpack", "portable"]

_MISSING_KERNEL = re.compile(
    r"(?:Missing out variants|not in Core ATen)[^{\[]*[{\[](?P<ops>[^}\]]+)"
)


def write_program(
    model: ir.Model, directory: Path, shapes: Mapping[str, DimRange], delegate: Delegate
) -> dict[str, Any]:
    """Write ``model.pte`` into ``directory``.

    Args:
        model: The legalized model.
        directory: An empty directory.
        shapes: Ranges of all named dimensions; memory is planned for their upper bounds.
        delegate: Who computes what it can: XNNPACK, or ExecuTorch's portable kernels alone.

    Returns:
        ``inputs`` with the range of each size, and ``outputs``, in order.

    Raises:
        UnsupportedError: If torch.export or ExecuTorch refuses the model, or its runtime the
            program.
        MissingError: If ExecuTorch is not installed.
    """
    import torch

    with same_environment():
        exir = load_exporter()
        partitioners = [load_partitioner()] if delegate == "xnnpack" else []
    logging.getLogger("torch").setLevel(logging.ERROR)
    with same_environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(
                build_module(model),
                example_inputs(model, shapes),
                dynamic_shapes=_dynamic_shapes(model, shapes),
                strict=False,
            )
            # The checker of the edge dialect refuses operators outside of Core ATen for which
            # the portable library has kernels, such as those that return int64 indices.
            config = exir.EdgeCompileConfig(_check_ir_validity=False)
            edge = exir.to_edge_transform_and_lower(
                decompose(exported), partitioner=partitioners, compile_config=config
            )
            program = edge.to_executorch()
        except Exception as error:
            raise UnsupportedError(
                "executorch", [_diagnose(error, model)], where="lowering to ExecuTorch"
            ) from error
    _check_kernels(program)
    with (directory / MODEL).open("wb") as file:
        program.write_to_file(file)
    _check_loading(directory / MODEL, model, delegate)
    return {
        "inputs": [
            spec.to_json() | {"ranges": _ranges(spec, shapes)} for spec in input_specs(model)
        ],
        "outputs": [spec.to_json() for spec in output_specs(model)],
    }


def _check_kernels(program: Any) -> None:
    """Refuse a program that calls operators for which the runtime has no kernel.

    Raises:
        UnsupportedError: It names the operators.
    """
    runtime, _ = load_runtime()
    known = set(runtime.operator_registry.operator_names)
    called = {
        f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        for plan in program.executorch_program.execution_plan
        for operator in plan.operators
    }
    if called - known:
        raise UnsupportedError(
            "executorch", [_no_kernel(", ".join(sorted(called - known)))], where="kernels"
        )


def _check_loading(path: Path, model: ir.Model, delegate: Delegate) -> None:
    """Load the program once: only then does a delegate say what it does not take.

    Raises:
        UnsupportedError: If the runtime refuses it; the file is gone then.
    """
    runtime, _ = load_runtime()
    try:
        runtime.load_program(path).load_method("forward")
    except RuntimeError as error:
        path.unlink()
        way_out = f"use the target torchscript{_or(binding_way_out(model))}"
        if delegate == "xnnpack":
            way_out = "use executorch{delegate=portable}"
        diagnostic = Diagnostic("LOADING", f"ExecuTorch's runtime says: {error}", way_out=way_out)
        raise UnsupportedError("executorch", [diagnostic], where="loading") from error


def _no_kernel(names: str) -> Diagnostic:
    return Diagnostic(
        "NO_KERNEL",
        f"ExecuTorch's portable library has no kernel for {names}",
        way_out="use the target torchscript, or express it by simpler operators",
    )


def _diagnose(error: Exception, model: ir.Model) -> Diagnostic:
    """Put what ExecuTorch says into one diagnostic.

    Exceptions of every kind come out of a lowering, because each operator's meta function and
    each pass of ExecuTorch raises its own.
    """
    found = _MISSING_KERNEL.search(str(error))
    if found:
        names = ", ".join(sorted(re.findall(r"\w+::[\w.]+", found["ops"])))
        return _no_kernel(names or found["ops"])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return Diagnostic(
        "LOWERING",
        f"ExecuTorch says: {lines[0] if lines else type(error).__name__}",
        way_out=f"use the target torchscript{_or(binding_way_out(model))}",
    )


def _or(way_out: str) -> str:
    return f", or {way_out}" if way_out else ""


def _ranges(spec: TensorSpec, shapes: Mapping[str, DimRange]) -> list[list[int]]:
    """Return the lowest and highest size of every axis."""
    return [
        [dim, dim] if isinstance(dim, int) else [shapes[dim].minimum, shapes[dim].maximum]
        for dim in spec.shape or ()
        if dim is not None
    ]


def _dynamic_shapes(model: ir.Model, shapes: Mapping[str, DimRange]) -> tuple[Any, ...]:
    import torch

    return tuple(
        {
            axis: torch.export.Dim.DYNAMIC(min=shapes[dim].minimum, max=shapes[dim].maximum)
            for axis, dim in enumerate(spec.shape or ())
            if isinstance(dim, str) and not shapes[dim].bound
        }
        for spec in input_specs(model)
    )
