"""What cannot be built of a model as a whole: its interface, and what a form lacks."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from irconv.backends.ways_out import binding_way_out
from irconv.errors import Diagnostic
from irconv.graph.walk import all_graphs, all_nodes
from irconv_torchscript.dtypes import ANY

__all__ = ["check_form", "check_interface", "scripting_way_out"]

_CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_WAY_OUT = "export tensors of a dtype that torch has"


def check_interface(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each input or output, also of a body, that torch cannot hold."""
    for graph in all_graphs(model):
        where = "" if graph is model.graph else f" of body {graph.name!r}"
        for side, values in (("input", graph.inputs), ("output", graph.outputs)):
            for value in values:
                reason = _refusal(value)
                if reason:
                    yield Diagnostic(
                        "UNSUPPORTED_INTERFACE",
                        f"{side} {value.name!r}{where}: {reason}",
                        way_out=_WAY_OUT,
                    )


def check_form(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each thing that a program of torch.export cannot express."""
    for side, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
                yield Diagnostic(
                    "UNSUPPORTED_INTERFACE",
                    f"{side} {value.name!r}: a program of torch.export takes and gives tensors",
                    way_out="use torchscript{form=pt}",
                )
            elif side == "input" and value.shape is None:
                yield Diagnostic(
                    "DYNAMIC_SHAPE",
                    f"input {value.name!r} has no known rank, which torch.export needs",
                    way_out="use torchscript{form=pt}, or export a model with known ranks",
                )
    way_out = scripting_way_out(model)
    for node in all_nodes(model):
        if node.op_type in _CONTROL:
            yield Diagnostic(
                "UNSUPPORTED_OP",
                "a program of torch.export has no branch or loop that depends on data",
                node=node.name or "",
                op=node.op_type,
                way_out=way_out,
            )


def scripting_way_out(model: ir.Model) -> str:
    """Return what helps where torch.export refuses what depends on data or on open sizes."""
    binding = binding_way_out(model)
    return f"use torchscript{{form=pt}}, or {binding}" if binding else "use torchscript{form=pt}"


def _refusal(value: ir.Value) -> str:
    kind = value.type
    if isinstance(kind, ir.OptionalType):
        kind = kind.elem_type
    if kind is not None and not isinstance(kind, (ir.TensorType, ir.SequenceType)):
        return f"TorchScript has no values of type {kind}"
    if value.dtype is not None and value.dtype != ir.DataType.UNDEFINED and value.dtype not in ANY:
        return f"torch has no tensors of {value.dtype.name.lower()}"
    return ""
