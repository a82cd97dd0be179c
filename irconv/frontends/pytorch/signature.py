"""Names, dtypes and dimensions of an exported program's inputs and outputs.

This module needs PyTorch and is imported in the worker process only. The flat inputs and
outputs of a program get the names that its author knows: arguments by parameter name, outputs
by dictionary key or field, else ``output_0``, ``output_1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from irconv.errors import InputError
from irconv.frontends.names import OUTPUT, free_name, leaf_name
from irconv.runtime.base import TensorSpec
from irconv.shapes import InputSpec

__all__ = ["Leaf", "Signature", "name_dimensions", "path_name", "read_signature"]

_WHERE = "frontend pytorch"


@dataclass(frozen=True)
class Leaf:
    """One flat input: a tensor with a name, or a constant that the trace fixed."""

    name: str | None
    constant: Any = None


@dataclass(frozen=True)
class Signature:
    """How flat, named tensors become a call and a result.

    Attributes:
        inputs: The flat inputs, in the order of ``in_spec``.
        in_spec: The tree of ``(args, kwargs)``.
        outputs: The name of each flat output; None where it is None.
        specs: Name, dtype and shape of each tensor input; a shape's names are the program's
            symbols.
    """

    inputs: tuple[Leaf, ...]
    in_spec: Any
    outputs: tuple[str | None, ...]
    specs: tuple[TensorSpec, ...]


def read_signature(program: torch.export.ExportedProgram) -> Signature:
    """Read the signature of an exported program.

    Raises:
        InputError: If an input is a number that varies, an output is a number, or no output is
            a tensor.
    """
    leaves: list[Leaf] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            continue
        if isinstance(spec.arg, TensorArgument):
            leaves.append(Leaf(spec.arg.name))
        elif hasattr(spec.arg, "value"):
            leaves.append(Leaf(None, spec.arg.value))
        else:
            raise InputError(
                f"input {spec.arg.name!r} is a Python number that varies",
                where=_WHERE,
                hint="pass it as a tensor of shape []",
            )
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    names = [leaf.name for leaf in leaves if leaf.name is not None]
    specs = tuple(_tensor_spec(name, nodes[name].meta["val"]) for name in names)
    call = program.call_spec
    assert call.in_spec is not None
    assert call.out_spec is not None
    outputs = _output_names(program, call.out_spec, set(names))
    return Signature(tuple(leaves), call.in_spec, outputs, specs)


def _tensor_spec(name: str, value: torch.Tensor) -> TensorSpec:
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)


def _output_names(
    program: torch.export.ExportedProgram, out_spec: Any, taken: set[str]
) -> tuple[str | None, ...]:
    tree = pytree.tree_unflatten(range(out_spec.num_leaves), out_spec)
    paths = [path for path, _ in pytree.tree_flatten_with_path(tree)[0]]
    arguments = [
        spec.arg
        for spec in program.graph_signature.output_specs
        if spec.kind in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT)
    ]
    used = set(taken)
    names: list[str | None] = []
    for path, argument in zip(paths, arguments, strict=True):
        name = path_name(path)
        if isinstance(argument, TensorArgument):
            names.append(free_name(name, used))
        elif getattr(argument, "value", argument) is None:
            names.append(None)
        else:
            raise InputError(
                f"output {name!r} is a Python number, not a tensor",
                where=_WHERE,
                hint="return tensors only",
            )
    if not any(names):
        raise InputError(
            "the module returns no tensor", where=_WHERE, hint="return at least one tensor"
        )
    return tuple(names)


def path_name(path: Sequence[Any], root: str = OUTPUT) -> str:
    """Return a readable name of a leaf of a tree, from the keys that pytree gives."""
    steps = [
        key.idx if hasattr(key, "idx") else str(key.key if hasattr(key, "key") else key.name)
        for key in path
    ]
    return leaf_name(steps, root)


def name_dimensions(
    signature: Signature,
    program: torch.export.ExportedProgram,
    stated: Iterable[InputSpec],
) -> dict[str, str]:
    """Choose a readable name for each symbol of the program's dimensions.

    The user's names come first; a dimension that has none is called after the first input or
    output that shows it, such as ``x_dim_0``.

    Raises:
        InputError: If the user's inputs do not fit the program.
    """
    names: dict[str, str] = {}
    by_name = {spec.name: spec for spec in signature.specs}
    for statement in stated:
        if statement.name not in by_name:
            raise InputError(
                f"the model has no input {statement.name!r}",
                where=f"--input {statement.name}",
                hint="its inputs are: " + ", ".join(by_name),
            )
        _match(statement, by_name[statement.name], names)
    symbols = {str(symbol) for symbol in program.range_constraints}
    for spec in [*signature.specs, *_output_specs(signature, program)]:
        for axis, dim in enumerate(spec.shape or ()):
            if isinstance(dim, str) and dim in symbols and dim not in names:
                names[dim] = _unused(f"{spec.name}_dim_{axis}", names)
    return names


def _match(statement: InputSpec, spec: TensorSpec, names: dict[str, str]) -> None:
    shape = spec.shape or ()
    problem = ""
    if len(statement.dims) != len(shape):
        problem = f"it has {len(shape)} dimensions, not {len(statement.dims)}"
    elif statement.dtype not in (None, spec.dtype):
        problem = f"its dtype is {spec.dtype}, not {statement.dtype}"
    for axis, (wanted, dim) in enumerate(zip(statement.dims, shape, strict=False)):
        if problem:
            break
        if isinstance(wanted, int) and isinstance(dim, int) and wanted != dim:
            problem = f"its dimension {axis} is {dim}, not {wanted}"
        elif isinstance(wanted, str) and isinstance(dim, int):
            problem = f"its dimension {axis} is fixed at {dim} and cannot be called {wanted!r}"
        elif isinstance(wanted, str) and isinstance(dim, str) and dim.isidentifier():
            names.setdefault(dim, wanted)
    if problem:
        raise InputError(
            f"--input does not fit input {spec.name!r}: {problem}",
            where=f"--input {statement.name}",
            hint=f"the model has {spec}; a free dimension comes from torch.export's dynamic_shapes",
        )


def _output_specs(signature: Signature, program: torch.export.ExportedProgram) -> list[TensorSpec]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        _tensor_spec(name, value)
        for name, arg in zip(signature.outputs, program.graph_signature.user_outputs, strict=True)
        if name is not None and isinstance(value := values.get(str(arg)), torch.Tensor)
    ]


def _unused(wanted: str, names: Mapping[str, str]) -> str:
    name, count = wanted, 1
    while name in names.values():
        count += 1
        name = f"{wanted}_{count}"
    return name
