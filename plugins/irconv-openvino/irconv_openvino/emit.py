"""Writing OpenVINO IR (``model.xml`` and ``model.bin``) from the IR.

The importer is given an ONNX file that irconv has just written, never a user's path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irconv.errors import BackendError, Diagnostic, UnsupportedError
from irconv.graph.interface import input_specs, output_specs
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_nodes
from irconv.runtime.base import TensorSpec
from irconv_openvino.sdk import first_line, load_openvino, unconverted_operators

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.shapes import DimRange

__all__ = ["MODEL", "write_ir"]

MODEL = "model.xml"


def write_ir(
    model: ir.Model, directory: Path, shapes: Mapping[str, DimRange], *, compress: bool
) -> dict[str, Any]:
    """Write ``model`` into ``directory`` and return where its inputs and outputs went.

    Args:
        model: The legalized model.
        directory: An empty directory.
        shapes: Ranges of named dimensions; they bound the dynamic dimensions of the inputs.
        compress: Whether floating-point weights are stored in 16 bits.

    Returns:
        ``inputs`` and ``outputs``: name, dtype and index of each in the written model.

    Raises:
        UnsupportedError: If OpenVINO's importer refuses the model.
    """
    openvino = load_openvino()
    with tempfile.TemporaryDirectory(prefix="irconv-openvino-") as scratch:
        source = Path(scratch, "model.onnx")
        save_model(model, source)
        try:
            converted = openvino.Core().read_model(str(source))
        except RuntimeError as error:
            raise UnsupportedError(
                "openvino", _diagnose(model, error), where="OpenVINO's ONNX importer"
            ) from error
        inputs, outputs = input_specs(model), output_specs(model)
        data = {
            "inputs": _locate(inputs, converted.inputs, "input"),
            "outputs": _locate(outputs, converted.outputs, "output"),
        }
        _bound_dimensions(openvino, converted, data["inputs"], inputs, shapes)
        openvino.save_model(converted, str(directory / MODEL), compress_to_fp16=compress)
        del converted
    return data


def _diagnose(model: ir.Model, error: RuntimeError) -> list[Diagnostic]:
    missing = set(unconverted_operators(str(error)))
    diagnostics = [
        Diagnostic(
            "UNSUPPORTED_OP",
            "OpenVINO's ONNX importer has no rule for it",
            node=node.name or "",
            op=f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
            way_out="express it by other operators, or leave it out of the exported part",
        )
        for node in all_nodes(model)
        if (f"{node.domain}.{node.op_type}" if node.domain else node.op_type) in missing
    ]
    return diagnostics or [
        Diagnostic("IMPORT", f"OpenVINO's ONNX importer says: {first_line(error)}")
    ]


def _locate(specs: Sequence[TensorSpec], ports: Sequence[Any], side: str) -> list[dict[str, Any]]:
    """Find each source tensor among the ports: by its name, else by its position."""
    by_name = {name: index for index, port in enumerate(ports) for name in port.get_names()}
    if len(specs) > len(ports):
        raise BackendError(
            f"OpenVINO gave the model {len(ports)} {side}s where the source has {len(specs)}",
            where="OpenVINO's ONNX importer",
        )
    return [
        {"name": spec.name, "dtype": spec.dtype, "index": by_name.get(spec.name, position)}
        for position, spec in enumerate(specs)
    ]


def _bound_dimensions(
    openvino: Any,
    converted: Any,
    located: Sequence[Mapping[str, Any]],
    specs: Sequence[TensorSpec],
    shapes: Mapping[str, DimRange],
) -> None:
    new: dict[int, Any] = {}
    for entry, spec in zip(located, specs, strict=True):
        if spec.shape is None or not any(dim in shapes for dim in spec.shape):
            continue
        dims = [_dimension(openvino, dim, shapes) for dim in spec.shape]
        new[entry["index"]] = openvino.PartialShape(dims)
    if new:
        converted.reshape(new)


def _dimension(openvino: Any, dim: int | str | None, shapes: Mapping[str, DimRange]) -> Any:
    if isinstance(dim, int):
        return openvino.Dimension(dim)
    if dim is None or dim not in shapes:
        return openvino.Dimension()
    return openvino.Dimension(shapes[dim].minimum, shapes[dim].maximum)
