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
from irconv_openvino.sdk import first_line, load_openvino, unconverted_operators
from irconv_openvino.stateful import keep_states
from irconv_openvino.states import find_states
from irconv_openvino.ties import settle_ties

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.runtime.base import TensorSpec
    from irconv.shapes import DimRange

__all__ = ["MODEL", "write_ir"]

MODEL = "model.xml"
_IMPORTER = "OpenVINO's ONNX importer"


def write_ir(
    model: ir.Model,
    directory: Path,
    shapes: Mapping[str, DimRange],
    *,
    compress: bool,
    stateful: tuple[bool | str, ...] = (),
) -> dict[str, Any]:
    """Write ``model`` into ``directory`` and return where its inputs and outputs went.

    Args:
        model: The legalized model.
        directory: An empty directory.
        shapes: Ranges of named dimensions; they bound the dynamic dimensions of the inputs.
        compress: Whether floating-point weights are stored in 16 bits.
        stateful: The states that the written model keeps; see
            :func:`irconv_openvino.states.find_states`.

    Returns:
        ``inputs`` and ``outputs``: name, dtype and index of each in the written model; and
        ``states``, if there are any.

    Raises:
        UnsupportedError: If OpenVINO's importer refuses the model.
        UsageError: If ``stateful`` does not fit the model.
    """
    states = find_states(input_specs(model), output_specs(model), stateful) if stateful else []
    openvino = load_openvino()
    with tempfile.TemporaryDirectory(prefix="irconv-openvino-") as scratch:
        source = Path(scratch, "model.onnx")
        save_model(model, source)
        try:
            converted = openvino.Core().read_model(str(source))
        except RuntimeError as error:
            raise UnsupportedError("openvino", _diagnose(model, error), where=_IMPORTER) from error
        data = {
            "inputs": _locate_inputs(model, converted.inputs),
            "outputs": _locate_outputs(model, converted.outputs),
        }
        _bound_dimensions(openvino, converted, data["inputs"], input_specs(model), shapes)
        settle_ties(converted)
        if states:
            keep_states(openvino, converted, states, data)
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


def _locate_inputs(model: ir.Model, ports: Sequence[Any]) -> list[dict[str, Any]]:
    """Find each input among the ports, which stand in the source's order.

    OpenVINO drops inputs whose values nothing reads; such an input gets no index. Where it drops
    a node that does nothing, an input may go by the name of that node's output, so names are
    looked at only where some input is missing.

    Raises:
        BackendError: If a port is not known to be one of the inputs.
    """
    specs = input_specs(model)
    if len(ports) == len(specs):
        located = {spec.name: index for index, spec in enumerate(specs)}
    else:
        names = {spec.name for spec in specs}
        located = {}
        for index, port in enumerate(ports):
            found = names.intersection(port.get_names())
            if len(found) != 1:
                raise BackendError(
                    f"OpenVINO renamed an input to {sorted(port.get_names())} and dropped another",
                    where=_IMPORTER,
                    hint="take the inputs that nothing reads out of the model",
                )
            located[found.pop()] = index
    return [
        {"name": spec.name, "dtype": spec.dtype, "index": located.get(spec.name)} for spec in specs
    ]


def _locate_outputs(model: ir.Model, ports: Sequence[Any]) -> list[dict[str, Any]]:
    by_name = {name: index for index, port in enumerate(ports) for name in port.get_names()}
    specs = output_specs(model)
    lost = [spec.name for spec in specs if spec.name not in by_name]
    if lost:
        raise BackendError(f"OpenVINO lost the outputs {lost}", where=_IMPORTER)
    return [{"name": spec.name, "dtype": spec.dtype, "index": by_name[spec.name]} for spec in specs]


def _bound_dimensions(
    openvino: Any,
    converted: Any,
    located: Sequence[Mapping[str, Any]],
    specs: Sequence[TensorSpec],
    shapes: Mapping[str, DimRange],
) -> None:
    new: dict[int, Any] = {}
    for entry, spec in zip(located, specs, strict=True):
        if entry["index"] is None or spec.shape is None:
            continue
        if not any(dim in shapes for dim in spec.shape):
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
