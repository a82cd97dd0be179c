"""Writing the artifact: a frozen TorchScript archive, or a program of torch.export."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import BackendError, Diagnostic, UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv_torchscript.checks import scripting_way_out
from irconv_torchscript.module import build_module, example_inputs, example_sizes

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.shapes import DimRange

__all__ = ["INTERFACE_FILE", "quiet_torch", "write_exported", "write_scripted"]

INTERFACE_FILE = "irconv.json"
"""Member of the archive that names inputs and outputs as the source does."""


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Keep torch from warning that TorchScript is an old form, and that classes lack types."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The TorchScript type system")
        yield


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Take back what torch.export sets in the environment, such as a cache folder."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread.

    Freezing compares every constant with every other; on a busy machine the threads that share
    such small work wait for each other longer than the work takes.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_scripted(model: ir.Model, directory: Path) -> tuple[str, dict[str, Any]]:
    """Write ``model.pt``, which ``torch.jit.load`` and libtorch read.

    The module is scripted, not traced, so branches, loops and dynamic shapes stay; frozen, so
    weights are constants. The archive is a zip64 file: it may be larger than 4 GB.

    Returns:
        The file's name, and the interface.
    """
    import torch

    module = build_module(model)
    interface = _interface(model, module)
    with quiet_torch(), _one_thread():
        try:
            scripted = torch.jit.script(module)
            frozen = torch.jit.freeze(scripted, optimize_numerics=False)
        except RuntimeError as error:
            raise BackendError(
                f"TorchScript refuses the module: {_first_line(error)}",
                where="torch.jit.script",
                hint="this is a defect of irconv-torchscript: report the model",
            ) from error
        torch.jit.save(
            frozen,
            str(directory / "model.pt"),
            _extra_files={INTERFACE_FILE: json.dumps(interface)},
        )
    return "model.pt", interface


def write_exported(
    model: ir.Model, directory: Path, shapes: Mapping[str, DimRange]
) -> tuple[str, dict[str, Any]]:
    """Write ``model.pt2``, which ``torch.export.load`` reads.

    Raises:
        UnsupportedError: If torch.export finds that the model depends on data in a way that it
            cannot express.
    """
    import torch

    module = build_module(model)
    interface = _interface(model, module)
    logging.getLogger("torch").setLevel(logging.ERROR)
    with quiet_torch(), _same_environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(
                module,
                example_inputs(model, shapes),
                dynamic_shapes=_dynamic_shapes(model, shapes),
                strict=False,
            )
        except Exception as error:
            diagnostic = Diagnostic(
                "EXPORT",
                f"torch.export says: {_first_line(error)}",
                way_out=scripting_way_out(model),
            )
            raise UnsupportedError("torchscript", [diagnostic], where="torch.export") from error
        torch.export.save(
            program, directory / "model.pt2", extra_files={INTERFACE_FILE: json.dumps(interface)}
        )
    return "model.pt2", interface


def _interface(model: ir.Model, module: Any) -> dict[str, Any]:
    """Return inputs and outputs as the source has them, and the argument of each input."""
    arguments = [node.target for node in module.graph.nodes if node.op == "placeholder"]
    return {
        "inputs": [
            spec.to_json() | {"argument": argument}
            for spec, argument in zip(input_specs(model), arguments, strict=True)
        ],
        "outputs": [spec.to_json() for spec in output_specs(model)],
    }


def _dynamic_shapes(model: ir.Model, shapes: Mapping[str, DimRange]) -> tuple[Any, ...]:
    import torch

    sizes = example_sizes(model, shapes)
    rows = []
    for spec in input_specs(model):
        row: dict[int, Any] = {}
        for axis, dim in enumerate(spec.shape or ()):
            if isinstance(dim, int):
                continue
            bounds = shapes.get(dim or "")
            if bounds is None:
                row[axis] = torch.export.Dim.DYNAMIC
            elif bounds.minimum != bounds.maximum:
                row[axis] = torch.export.Dim.DYNAMIC(min=bounds.minimum, max=bounds.maximum)
            else:
                assert sizes[dim or ""] == bounds.best
        rows.append(row)
    return tuple(rows)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
