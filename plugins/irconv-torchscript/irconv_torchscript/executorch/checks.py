"""What an ExecuTorch program cannot express of a model that TorchScript takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from irconv.errors import Diagnostic
from irconv.graph.constants import constant_tensor
from irconv.graph.interface import input_specs
from irconv.graph.walk import all_graphs, all_nodes
from irconv.shapes import DimRange
from irconv_torchscript.dtypes import NATIVE

if TYPE_CHECKING:
    from irconv.runtime.base import TensorSpec

__all__ = ["check_dimensions", "check_dtypes", "check_kernels", "check_ranks"]

_MOST_DIMENSIONS = {"portable": 16, "xnnpack": 6}
"""How many dimensions a tensor may have; a program with more does not load."""


def check_dimensions(model: ir.Model, shapes: Mapping[str, DimRange]) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each input dimension without an upper bound.

    ExecuTorch plans the memory of a program when it is made, for the largest sizes.
    """
    open_dims: dict[str, list[str]] = {}
    for spec in input_specs(model):
        for axis, dim in enumerate(spec.shape or ()):
            if dim is None:
                yield Diagnostic(
                    "DYNAMIC_SHAPE",
                    f"dimension {axis} of input {spec.name!r} has no name and no size",
                    way_out=_naming_way_out(spec),
                )
            elif isinstance(dim, str) and dim not in shapes:
                open_dims.setdefault(dim, []).append(spec.name)
    for dim, names in open_dims.items():
        yield Diagnostic(
            "DYNAMIC_SHAPE",
            f"dimension {dim!r} of {', '.join(map(repr, names))} has no upper bound, and "
            "ExecuTorch plans memory for the largest sizes",
            way_out=f"give it a range: --shape '{dim}=1..64@8', or a size: --shape '{dim}=8'",
        )


def _naming_way_out(spec: TensorSpec) -> str:
    """Return the options that name the dimensions of an input and bound the first of them."""
    dims = [f"d{axis}" if dim is None else str(dim) for axis, dim in enumerate(spec.shape or ())]
    first = f"d{(spec.shape or ()).index(None)}"
    named = f"--input '{spec.name}[{','.join(dims)}]'"
    return f"name it and give it a range: {named} --shape '{first}=1..64@8'"


def check_dtypes(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each value whose dtype ExecuTorch's kernels do not compute with."""
    for graph in all_graphs(model):
        for value in graph.inputs:
            if value.dtype is not None and value.dtype not in NATIVE:
                yield Diagnostic(
                    "UNSUPPORTED_DTYPE",
                    f"input {value.name!r} is {value.dtype.name.lower()}, which ExecuTorch lacks",
                    way_out="export the model with float32, int64 or bool there",
                )
    for node in all_nodes(model):
        lacking = {
            value.dtype.name.lower()
            for value in node.outputs
            if value.dtype is not None and value.dtype not in NATIVE
        }
        if lacking:
            yield Diagnostic(
                "UNSUPPORTED_DTYPE",
                f"it gives {', '.join(sorted(lacking))}, which ExecuTorch lacks",
                node=node.name or "",
                op=node.op_type,
                way_out="export the model with float32, int64 or bool there",
            )


def check_ranks(model: ir.Model, delegate: str) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each value with more dimensions than ExecuTorch takes.

    Args:
        model: The legalized model.
        delegate: Who computes what it can, ``xnnpack`` or ``portable``.
    """
    most = _MOST_DIMENSIONS[delegate]
    way_out = f"reshape it to at most {most} dimensions where the model is made"
    if delegate == "xnnpack":
        way_out = f"use executorch{{delegate=portable}}, or {way_out}"
    who = "XNNPACK" if delegate == "xnnpack" else "ExecuTorch"
    for spec in input_specs(model):
        if len(spec.shape or ()) > most:
            yield Diagnostic(
                "RANK_LIMIT",
                f"input {spec.name!r} has {len(spec.shape or ())} dimensions, and {who} takes "
                f"at most {most}",
                way_out=way_out,
            )
    for node in all_nodes(model):
        rank = max((len(value.shape or ()) for value in node.outputs), default=0)
        if rank > most:
            yield Diagnostic(
                "RANK_LIMIT",
                f"it gives {rank} dimensions, and {who} takes at most {most}",
                node=node.name or "",
                op=node.op_type,
                way_out=way_out,
            )


def check_kernels(model: ir.Model) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each node that needs a kernel which ExecuTorch's library lacks."""
    for node in all_nodes(model):
        if node.op_type == "Col2Im" and any(constant_tensor(v) is None for v in node.inputs[1:3]):
            yield Diagnostic(
                "DYNAMIC_SHAPE",
                "the shapes of its image and block are computed, and ExecuTorch plans memory",
                node=node.name or "",
                op=node.op_type,
                way_out="make them constants: irconv's --shape where they come from dimensions",
            )
        lacking = _lacking_kernel(node)
        if lacking:
            yield Diagnostic(
                "NO_KERNEL",
                f"ExecuTorch's portable library has no kernel for {lacking}",
                node=node.name or "",
                op=node.op_type,
                way_out="use the target torchscript, or express it by simpler operators",
            )


def _lacking_kernel(node: ir.Node) -> str:
    if node.domain:
        return ""
    if node.op_type in _NO_KERNEL:
        return _NO_KERNEL[node.op_type]
    value = node.inputs[0] if node.inputs else None
    rank = None if value is None or value.shape is None else value.shape.rank()
    if node.op_type in _NO_KERNEL_3D and rank == _RANK_3D:
        return _NO_KERNEL_3D[node.op_type]
    reduction = node.attributes.get("reduction")
    if node.op_type in ("ScatterElements", "ScatterND") and reduction is not None:
        kind = reduction.as_string()
        return "" if kind in ("none", "add") else f"scattering with the reduction {kind!r}"
    return ""


_NO_KERNEL = {
    "BitCast": "tensors seen in another dtype",
    "Det": "determinants",
    "TopK": "a stable sort, which keeps the order of equal values",
    "Unique": "unique values",
}
_NO_KERNEL_3D = {
    "ConvTranspose": "transposed convolutions of volumes",
    "GridSample": "samples of volumes",
}
_RANK_3D = 5
