"""From an exported program to an ONNX file with the source's names.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from irconv.errors import Diagnostic, InputError, UnsupportedError
from irconv.frontends.factories import first_line
from irconv.frontends.interface import all_values, name_interface, strip_metadata
from irconv.frontends.pytorch.factory import Source, user_line
from irconv.frontends.pytorch.signature import Signature
from irconv.graph.serialize import save_model

__all__ = ["INLINE_LIMIT", "changed_buffers", "check_inference", "to_onnx", "trace"]

_WHERE = "frontend pytorch"
INLINE_LIMIT = 1 << 20
"""Weights of more bytes go beside the file."""
_MESSAGE_LINES = 6
_BOILERPLATE = re.compile(
    r"For (?:more|extended|C\+\+)|If you suspect|Caused by:|The error above|consider using data"
    r"|The following call|File \"|Set TORCH|\(Refer"
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SUGGESTED = re.compile(r"^\s*\w+ = Dim\('(\w+)'(?:, min=(\d+))?(?:, max=(\d+))?\)", re.MULTILINE)
_FIXED = re.compile(r"^\s*(\w+) = (\d+)\s*$", re.MULTILINE)
_LARGEST = 4096
"""The end of a suggested range that has none."""
_MISSING_OP = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)', overload='(\w+)'")


def trace(source: Source) -> torch.export.ExportedProgram:
    """Trace a module into an exported program.

    Raises:
        InputError: If ``torch.export`` cannot, with its reason and the line of the user's code.
    """
    try:
        return torch.export.export(
            source.module, source.args, source.kwargs, dynamic_shapes=source.dynamic_shapes
        )
    except Exception as error:
        raise InputError(
            f"torch.export cannot trace the module: {_reason(error)}",
            where=user_line(error),
            hint=_suggested_ranges(error)
            or "make the code independent of tensor values (torch.where, torch.cond, "
            "torch._check), or state fewer free dimensions; or give "
            "torch.jit.save(torch.jit.script(module), 'x.pt'): its branches and loops become If "
            "and Loop",
        ) from error


def _suggested_ranges(error: BaseException) -> str:
    """Return the ranges of dimensions that PyTorch suggests, as options of the command line."""
    found = _SUGGESTED.findall(_ANSI.sub("", str(error)))
    ranges = [f"{name}={low or 1}..{high or _LARGEST}" for name, low, high in found]
    fixed = [f"{name}={size}" for name, size in _FIXED.findall(_ANSI.sub("", str(error)))]
    options = " ".join(f"--shape {text}" for text in (*ranges, *fixed))
    return f"the code asks for these ranges: {options}" if options else ""


def _reason(error: BaseException) -> str:
    text = _ANSI.sub("", str(error))
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not _BOILERPLATE.match(line)]
    return "\n".join(kept[:_MESSAGE_LINES]) or type(error).__name__


def check_inference(program: torch.export.ExportedProgram) -> None:
    """Check that no operator behaves as in training.

    Raises:
        InputError: Naming the operators and the user's lines.
    """
    active = [node for node in program.graph.nodes if _is_training(node)]
    if not active:
        return
    places = "; ".join(
        dict.fromkeys(f"{_op_name(node.target)} at {_source_line(node)}" for node in active[:5])
    )
    raise InputError(
        f"the program was exported in training mode: {places}",
        where=_WHERE,
        hint="call module.eval() before torch.export.export, and pass training=self.training to "
        "functional dropout",
    )


def _is_training(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None:
        return False
    values = {
        argument.name: node.args[position]
        if position < len(node.args)
        else node.kwargs.get(argument.name, argument.default_value)
        for position, argument in enumerate(schema.arguments)
    }
    training = values.get("train") is True or values.get("training") is True
    rate = values.get("p", values.get("dropout"))
    return training and rate != 0


def changed_buffers(program: torch.export.ExportedProgram) -> list[str]:
    """Return the names of the buffers that a call writes to."""
    names = program.graph_signature.inputs_to_buffers
    written = {
        names[value.name]
        for node in program.graph.nodes
        for value in _written_to(node)
        if value.name in names
    }
    return sorted(written | set(program.graph_signature.buffers_to_mutate.values()))


def _written_to(node: torch.fx.Node) -> Iterator[torch.fx.Node]:
    schema = getattr(node.target, "_schema", None)
    for position, argument in enumerate(schema.arguments if schema is not None else ()):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
        if isinstance(value, torch.fx.Node):
            yield value


def _op_name(target: Any) -> str:
    return str(target._schema.name) if hasattr(target, "_schema") else str(target)


def _source_line(node: torch.fx.Node) -> str:
    """Return ``file:line in function`` of the user's code that a node comes from."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', node.meta.get("stack_trace") or "")
    root = str(Path(torch.__file__).parent)
    own = [frame for frame in frames if not frame[0].startswith(root)]
    file, line, function = (own or frames or [("an unknown line", "", "")])[-1]
    return f"{file}:{line} in {function}" if line else file


def to_onnx(
    program: torch.export.ExportedProgram,
    signature: Signature,
    dimensions: Mapping[str, str],
    path: Path,
    opset: int,
) -> int:
    """Write the program as ONNX and return the opset of the default domain.

    Args:
        program: The program; its state is left as it is.
        signature: Its input and output names.
        dimensions: The name to show for each symbol of a dimension.
        path: The ``.onnx`` file to write; large weights go beside it.
        opset: The opset to write.

    Raises:
        UnsupportedError: If an operator has no translation to ONNX, with every place of it.
    """
    try:
        exported = torch.onnx.export(program, dynamo=True, verbose=False, opset_version=opset)
    except Exception as error:
        raise _cannot_convert(program, error) from error
    assert exported is not None
    model = exported.model
    _name_interface(model, signature)
    _name_dimensions(model, dimensions)
    strip_metadata(model)
    save_model(model, path, inline_limit=INLINE_LIMIT)
    return int(model.opset_imports[""])


def _cannot_convert(program: torch.export.ExportedProgram, error: Exception) -> UnsupportedError:
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    missing = _MISSING_OP.search(str(error))
    if missing is None:
        diagnostic = Diagnostic(
            "EXPORT_FAILED",
            f"PyTorch's ONNX exporter fails: {_ANSI.sub('', first_line(chain[-1]))}",
            way_out="write the part that it names with other operators",
        )
        return UnsupportedError("onnx", [diagnostic], where=_WHERE)
    op = missing[1]
    places = _nodes_of(program, op, missing[2])
    diagnostics = [
        Diagnostic(
            "UNSUPPORTED_OP",
            f"PyTorch has no translation of {op} to ONNX; it comes from {place}",
            node=node,
            op=op.replace(".", "::"),
            way_out="write that line with other operators",
        )
        for node, place in places
    ]
    return UnsupportedError("onnx", diagnostics, where=_WHERE)


def _nodes_of(
    program: torch.export.ExportedProgram, op: str, overload: str
) -> list[tuple[str, str]]:
    """Return name and line of every node of an operator, in the least decomposed form it is in."""
    for candidate in _decomposed(program):
        nodes = [
            (node.name, _source_line(node))
            for node in candidate.graph.nodes
            if str(node.target) == f"{op}.{overload}"
        ]
        if nodes:
            return nodes
    return [("", "an unknown line")]


def _decomposed(
    program: torch.export.ExportedProgram,
) -> Iterator[torch.export.ExportedProgram]:
    yield program
    yield program.run_decompositions()
    yield program.run_decompositions(dict(torch._decomp.decomposition_table))


def _name_interface(model: ir.Model, signature: Signature) -> None:
    """Give inputs and outputs the names of the signature, whatever the exporter chose."""
    inputs = [leaf.name for leaf in signature.inputs if leaf.name is not None]
    outputs = [name for name in signature.outputs if name is not None]
    counts = (len(model.graph.inputs), len(model.graph.outputs))
    if counts != (len(inputs), len(outputs)):
        raise InputError(
            f"the module takes {len(inputs)} and returns {len(outputs)} tensors, but PyTorch's "
            f"exporter wrote {counts[0]} inputs and {counts[1]} outputs",
            where=_WHERE,
            hint="take and return tensors only",
        )
    name_interface(model, inputs, outputs)


def _name_dimensions(model: ir.Model, dimensions: Mapping[str, str]) -> None:
    if not dimensions:
        return
    symbol = re.compile(r"\b(?:" + "|".join(map(re.escape, dimensions)) + r")\b")
    for value in all_values(model):
        if value.shape is None:
            continue
        dims = [
            dim
            if isinstance(dim, int) or dim.value is None
            else symbol.sub(lambda found: dimensions[found.group()], dim.value)
            for dim in value.shape
        ]
        value.shape = ir.Shape([dim if isinstance(dim, (int, str)) else None for dim in dims])
