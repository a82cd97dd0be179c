"""The ways from a script module to ONNX.

``script``: PyTorch's TorchScript exporter, which knows control flow and rewrites the module's
graph. ``program``: the module becomes an exported program, which the newer exporter writes; it
knows more operators, but neither loops nor numbers as inputs. ``trace``: the same of the
operators that the module calls on the example, where sizes and data decide nothing.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch._export.converter import TS2EPConverter
from torch.fx.experimental.proxy_tensor import make_fx

from irconv.errors import Diagnostic, IrconvError, UnsupportedError
from irconv.frontends.interface import strip_metadata
from irconv.frontends.names import free_name
from irconv.frontends.pytorch.export import INLINE_LIMIT, to_onnx
from irconv.frontends.pytorch.signature import Leaf, name_dimensions, read_signature
from irconv.frontends.torchscript.call import ScriptCall
from irconv.frontends.torchscript.outputs import OutputLeaf
from irconv.frontends.torchscript.runner import script_line, script_reason
from irconv.frontends.torchscript.symbolics import register_symbolics
from irconv.graph.serialize import save_model
from irconv.graph.walk import all_graphs
from irconv.shapes import DimRange, InputSpec

__all__ = ["RouteError", "flat_module", "write_by_program", "write_by_script"]

_WAY_OUT = "write that line with other operators, or give the module by --trust module:factory"
_FIXED_WAY_OUT = "give every dimension a size in --input"
_PLACES = 3
_OPERATOR = re.compile(
    r"(?:exporting the operator|onnx export of operator|onnx export failed on|failed for node)"
    r",? '?(?P<name>[\w:]+)'?",
    re.IGNORECASE,
)


class RouteError(Exception):
    """One way to ONNX does not do for a module.

    Attributes:
        diagnostics: Why: operators with the lines that call them.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(map(str, diagnostics)))
        self.diagnostics = tuple(diagnostics)


def flat_module(module: Any, call: ScriptCall, outputs: Sequence[OutputLeaf]) -> Any:
    """Return a script module that takes the flat inputs and returns the flat outputs.

    It is ``module`` itself where that takes and returns nothing else.
    """
    direct = ["r"] if len(outputs) == 1 else [f"r[{index}]" for index in range(len(outputs))]
    if call.plain and [leaf.expression for leaf in outputs] == direct:
        return module
    types = {"int64": "int", "float64": "float", "bool": "bool"}
    parameters = "".join(
        f", v{number}: {types[leaf.dtype] if leaf.scalar else 'Tensor'}"
        for number, leaf in enumerate(call.inputs)
    )
    results = ", ".join(leaf.expression for leaf in outputs)
    holder = type("Flat", (torch.nn.Module,), {})()
    holder.inner = module
    flat = torch.jit.script(holder)
    flat.define(
        f"def forward(self{parameters}):\n"
        f"    r = {call.expression()}\n"
        f"    return {results if len(outputs) == 1 else f'({results})'}\n"
    )
    return flat.eval()


def write_by_script(
    module: Any, call: ScriptCall, outputs: Sequence[OutputLeaf], path: Path, opset: int
) -> None:
    """Write a flat module as ONNX by the TorchScript exporter.

    Shapes that the exporter states are left out: it takes them from the example.

    Raises:
        RouteError: If it cannot.
    """
    graph = module.inlined_graph
    folder = path.parent / "script"
    folder.mkdir()
    written = folder / "model.onnx"
    arguments = tuple(leaf.example.item() if leaf.scalar else leaf.example for leaf in call.inputs)
    register_symbolics()
    try:
        with torch.jit.optimized_execution(False):
            torch.onnx.export(
                module,
                arguments,
                str(written),
                input_names=[leaf.name for leaf in call.inputs],
                output_names=[leaf.name for leaf in outputs],
                dynamic_axes=_dynamic_axes(call),
                opset_version=opset,
                dynamo=False,
            )
    except Exception as error:
        raise RouteError(_refusals(error, graph)) from error
    model = ir.load(written)
    _shorten_names(model)
    _forget_shapes(model)
    strip_metadata(model)
    save_model(model, path, inline_limit=INLINE_LIMIT)
    shutil.rmtree(folder)


def _dynamic_axes(call: ScriptCall) -> dict[str, dict[int, str]]:
    axes = {
        leaf.name: {axis: dim for axis, dim in enumerate(leaf.dims) if isinstance(dim, str)}
        for leaf in call.inputs
    }
    return {name: named for name, named in axes.items() if named}


def _shorten_names(model: ir.Model) -> None:
    """Take the wrapper's name off those of nodes and weights, and make each name one node's."""
    for graph in all_graphs(model):
        for name in list(graph.initializers):
            short = name.removeprefix("inner.")
            if short != name and short not in graph.initializers:
                graph.initializers[name].name = short
        taken: set[str] = set()
        for node in graph:
            node.name = free_name((node.name or "").removeprefix("/inner"), taken)


def _forget_shapes(model: ir.Model) -> None:
    """Forget the shapes of all computed values; ONNX's Loop needs those of its counters."""
    for graph in all_graphs(model):
        bound = () if graph is model.graph else graph.inputs
        for value in (*bound, *(value for node in graph for value in node.outputs)):
            if value.shape is not None and len(value.shape) > 0:
                value.shape = None


def write_by_program(
    module: Any,
    call: ScriptCall,
    outputs: Sequence[OutputLeaf],
    path: Path,
    opset: int,
    shapes: Mapping[str, DimRange],
    *,
    traced: bool = False,
) -> None:
    """Write a flat module as ONNX by way of an exported program.

    Args:
        module: The flat module.
        call: How it is called.
        outputs: Its outputs.
        path: The file to write.
        opset: The opset to write.
        shapes: Ranges of named dimensions.
        traced: Whether to record what the module calls on the examples, instead of converting
            its code.

    Raises:
        RouteError: If it cannot.
    """
    if any(leaf.scalar for leaf in call.inputs):
        reason = "an exported program takes no numbers as inputs"
        raise RouteError([Diagnostic("NUMBER_INPUT", reason)])
    free = sorted({dim for leaf in call.inputs for dim in leaf.dims if isinstance(dim, str)})
    if traced and free:
        reason = f"a trace would fix the free dimensions {', '.join(free)}"
        raise RouteError([Diagnostic("DYNAMIC_DIM", reason, way_out=_FIXED_WAY_OUT)])
    graph = module.inlined_graph
    examples = tuple(leaf.example for leaf in call.inputs)
    convert = _by_trace if traced else _by_converter
    try:
        program = torch.export.export(
            convert(module, examples), examples, dynamic_shapes=_dynamic_shapes(call, shapes)
        )
        signature = read_signature(program)
        names = [leaf.name for leaf in call.inputs]
        signature = replace(
            signature,
            inputs=tuple(Leaf(name) for name in names),
            outputs=tuple(leaf.name for leaf in outputs),
            specs=tuple(
                replace(spec, name=name) for spec, name in zip(signature.specs, names, strict=True)
            ),
        )
        named = [InputSpec(leaf.name, leaf.dims) for leaf in call.inputs]
        dimensions = name_dimensions(signature, program, named)
        to_onnx(program, signature, dimensions, path, opset)
    except UnsupportedError as error:
        raise RouteError(error.diagnostics) from error
    except IrconvError as error:
        raise RouteError([Diagnostic("EXPORT_FAILED", error.what)]) from error
    except Exception as error:
        raise RouteError(_refusals(error, graph)) from error


def _by_converter(module: Any, examples: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """Convert the code of a module, operator by operator."""
    return TS2EPConverter(module, examples).convert().module()


def _by_trace(module: Any, examples: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """Record the operators that a module calls on the examples.

    Where data decide on a branch or a loop, PyTorch refuses; sizes become constants.
    """
    with torch.jit.optimized_execution(False):
        return make_fx(lambda *tensors: module(*tensors))(*examples)


def _dynamic_shapes(call: ScriptCall, shapes: Mapping[str, DimRange]) -> tuple[Any, ...] | None:
    dims: dict[str, Any] = {}
    for name in (dim for leaf in call.inputs for dim in leaf.dims if isinstance(dim, str)):
        bounds = shapes.get(name)
        label = name if name.isidentifier() else f"dim_{len(dims)}"
        dims[name] = (
            torch.export.Dim(label)
            if bounds is None or bounds.bound
            else torch.export.Dim(label, min=bounds.minimum, max=bounds.maximum)
        )
    if not dims:
        return None
    return tuple(
        {axis: dims[dim] for axis, dim in enumerate(leaf.dims) if isinstance(dim, str)}
        for leaf in call.inputs
    )


def _refusals(error: Exception, graph: Any) -> list[Diagnostic]:
    """Return what an exporter's error says, with the lines that call the operator it names."""
    text = str(error)
    found = _OPERATOR.search(text)
    if found is None:
        place = script_line(text)
        reason = script_reason(error) + (f"; it comes from {place}" if place else "")
        return [Diagnostic("EXPORT_FAILED", reason, way_out=_WAY_OUT)]
    name = found["name"] if "::" in found["name"] else f"aten::{found['name']}"
    reason = script_reason(error)
    lines = [script_line(str(node.sourceRange())) for node in graph.findAllNodes(name)]
    places = list(dict.fromkeys(filter(None, lines))) or ["an unknown line"]
    more = f" and {len(places) - _PLACES} more places" if len(places) > _PLACES else ""
    reason += f"; it comes from {', '.join(places[:_PLACES])}{more}"
    return [Diagnostic("UNSUPPORTED_OP", reason, op=name, way_out=_WAY_OUT)]
