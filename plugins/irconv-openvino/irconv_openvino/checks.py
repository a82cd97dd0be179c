"""What OpenVINO cannot take of a model as a whole: its interface, sequences and constants."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from irconv.errors import Diagnostic
from irconv.graph.walk import all_graphs
from irconv_openvino.support.registry import dtype_refusal

__all__ = ["check_interface"]


def check_interface(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each input, output and body value that OpenVINO cannot hold."""
    for side, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            reason = _value_refusal(value)
            if reason:
                yield _diagnostic(f"{side} {value.name!r}: {reason}")
    for value in model.graph.outputs:
        constant = ir.convenience.get_const_tensor(value)
        if constant is not None and 0 in constant.shape.numpy():
            yield _diagnostic(
                f"output {value.name!r} is an empty constant, which OpenVINO 2026.4 gives as a "
                "scalar"
            )
    for graph in all_graphs(model):
        if graph is model.graph:
            continue
        for value in (*graph.inputs, *graph.outputs):
            if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
                yield _diagnostic(
                    f"{value.name!r}: OpenVINO takes no sequence into or out of a loop or branch"
                )


def _value_refusal(value: ir.Value) -> str:
    if isinstance(value.type, ir.SequenceType):
        return "OpenVINO has no sequences"
    if isinstance(value.type, ir.OptionalType):
        return "OpenVINO has no optional values"
    return dtype_refusal(value)


def _diagnostic(reason: str) -> Diagnostic:
    return Diagnostic(
        "UNSUPPORTED_INTERFACE", reason, way_out="export tensors of a dtype that OpenVINO has"
    )
