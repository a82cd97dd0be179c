"""From the result of a script module to flat, named outputs.

This module needs PyTorch and is imported in the worker process only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from irconv.errors import InputError
from irconv.frontends.names import free_name, leaf_name
from irconv.frontends.torchscript.call import InputLeaf

__all__ = ["OutputLeaf", "flat_values", "read_outputs"]

_WHERE = "frontend torchscript"


@dataclass(frozen=True)
class OutputLeaf:
    """One output of the model.

    Attributes:
        name: Its name.
        expression: TorchScript text that takes it from the result ``r``.
    """

    name: str
    expression: str


def flat_values(value: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return tensors and numbers of a result with their paths; None is left out."""
    return [(path, leaf) for path, leaf, _ in _leaves(value, None, (), "r") if leaf is not None]


def read_outputs(result: Any, type_: Any, inputs: Sequence[InputLeaf]) -> list[OutputLeaf]:
    """Name the outputs of a module.

    Args:
        result: What a call returned.
        type_: The type of the result by the module's schema.
        inputs: The inputs, whose names are taken.

    Raises:
        InputError: If the result holds something that is neither tensor nor number, or nothing.
    """
    taken = {leaf.name for leaf in inputs}
    outputs: list[OutputLeaf] = []
    for path, value, expression in _leaves(result, type_, (), "r"):
        if value is None:
            continue
        if not isinstance(value, torch.Tensor):
            dtype = _number_dtype(value, leaf_name(path))
            expression = f"torch.tensor({expression}, dtype=torch.{dtype})"
        outputs.append(OutputLeaf(free_name(leaf_name(path), taken), expression))
    if not outputs:
        raise InputError(
            "the module returns no tensor", where=_WHERE, hint="return at least one tensor"
        )
    return outputs


def _number_dtype(value: Any, name: str) -> str:
    dtypes = {bool: "bool", int: "int64", float: "float64"}
    if type(value) not in dtypes:
        raise InputError(
            f"output {name!r} is a {type(value).__name__}, neither a tensor nor a number",
            where=_WHERE,
            hint="script a module around it that returns tensors",
        )
    return dtypes[type(value)]


def _leaves(
    value: Any, type_: Any, path: tuple[str | int, ...], expression: str
) -> Iterator[tuple[tuple[str | int, ...], Any, str]]:
    """Yield path, value and TorchScript expression of the leaves of a result.

    Without a type the expressions are of no use; the paths and values are the same.
    """
    kind = type_.kind() if type_ is not None else ""
    if kind == "OptionalType" and value is not None:
        type_, expression = type_.getElementType(), f"torch.jit._unwrap_optional({expression})"
        kind = type_.kind()
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", range(len(value)))
        elements = type_.elements() if kind == "TupleType" else None
        for index, (name, item) in enumerate(zip(names, value, strict=True)):
            inner = elements[index] if elements else _element(type_, kind)
            yield from _leaves(item, inner, (*path, name), f"{expression}[{index}]")
    elif isinstance(value, dict):
        inner = type_.getValueType() if kind == "DictType" else None
        for key, item in value.items():
            text = json.dumps(key) if isinstance(key, str) else repr(key)
            yield from _leaves(item, inner, (*path, str(key)), f"{expression}[{text}]")
    else:
        yield path, value, expression


def _element(type_: Any, kind: str) -> Any:
    return type_.getElementType() if kind == "ListType" else None
