"""What a TFLite model is, from its tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from irconv.frontends.tflite.convert import reachable, refusals_of
from irconv.frontends.tflite.interface import choose_interface

if TYPE_CHECKING:
    from irconv.frontends.tflite.file import ModelFile
    from irconv.frontends.tflite.interface import Port
    from irconv.frontends.tflite.model import Operator

__all__ = ["describe"]

_RUNTIME_VERSION = "min_runtime_version"
_SHORT = 256


def describe(file: ModelFile) -> dict[str, Any]:
    """Return JSON-ready facts about a judged model."""
    model = file.model
    signatures = [signature.key for signature in model.signatures]
    default = signatures[0] if signatures else None
    if "serving_default" in signatures:
        default = "serving_default"
    interface = choose_interface(model, default)
    operators = [operator for subgraph in model.subgraphs for operator in subgraph.operators]
    counts = Counter(map(_label, operators))
    refusals = refusals_of(reachable(model, interface.subgraph))
    constants = {
        tensor.data.offset: tensor.data.size
        for subgraph in model.subgraphs
        for tensor in subgraph.tensors
        if tensor.data is not None
    }
    return {
        "schema_version": model.version,
        "description": model.description,
        "min_runtime_version": _runtime_version(file),
        "signatures": signatures,
        "inputs": [_port(port) for port in interface.inputs],
        "outputs": [_port(port) for port in interface.outputs],
        "subgraphs": len(model.subgraphs),
        "nodes": len(operators),
        "operators": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "custom_operators": sorted({op.custom for op in operators if op.custom}),
        "parameter_bytes": sum(constants.values()),
        "bytes": model.bytes,
        "metadata": {name: extent.size for name, extent in model.metadata.items()},
        "can_import": not refusals,
        "notes": [str(refusal) for refusal in refusals],
    }


def _label(operator: Operator) -> str:
    return f"{operator.code}::{operator.custom}" if operator.custom else operator.code


def _port(port: Port) -> dict[str, Any]:
    tensor = port.tensor
    facts: dict[str, Any] = {
        "name": port.name,
        "dtype": tensor.dtype,
        "shape": None if tensor.shape is None else list(tensor.shape),
    }
    if tensor.quantization is not None:
        facts["scale"] = tensor.quantization.scales[0]
        facts["zero_point"] = tensor.quantization.zero_points[0]
    return facts


def _runtime_version(file: ModelFile) -> str:
    extent = file.model.metadata.get(_RUNTIME_VERSION)
    if extent is None or extent.size > _SHORT:
        return ""
    return file.bytes_of(extent).rstrip(b"\x00").decode("ascii", "replace")
