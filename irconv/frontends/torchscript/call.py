"""From flat, named inputs to a call of a script module.

This module needs PyTorch and is imported in the worker process only. Arguments that are lists,
tuples or dictionaries of tensors are flattened by name: ``xs_0``, ``xs_1``, ``batch_ids``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from irconv.errors import InputError
from irconv.frontends.pytorch.factory import example_size
from irconv.frontends.torchscript.signature import Argument, input_flags
from irconv.shapes import DimRange, InputSpec

__all__ = ["InputLeaf", "ScriptCall", "bind_inputs"]

_SCALARS: Mapping[str, tuple[torch.dtype, float]] = {
    "IntType": (torch.int64, 2),
    "FloatType": (torch.float64, 0.5),
    "BoolType": (torch.bool, 1),
}
"""Dtype and example of a number, by the kind of its type."""


@dataclass(frozen=True)
class InputLeaf:
    """One input of the model.

    Attributes:
        name: Its name.
        dims: Sizes, and names of free dimensions.
        example: A tensor to export with.
        scalar: Whether the module takes a Python number in its place.
    """

    name: str
    dims: tuple[int | str, ...]
    example: torch.Tensor
    scalar: bool = False

    @property
    def dtype(self) -> str:
        """Full dtype name."""
        return str(self.example.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class ScriptCall:
    """How a module is called.

    Attributes:
        inputs: The flat inputs, in the order of the arguments.
        arguments: For each argument that is given its value, with :class:`InputLeaf` in the
            place of tensors and numbers.
        plain: Whether every argument is given and is a tensor or number by itself.
        notes: Arguments that were left at their default.
    """

    inputs: tuple[InputLeaf, ...]
    arguments: Mapping[str, Any]
    plain: bool
    notes: tuple[str, ...]

    def keywords(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Return what to call the module with, from a tensor for each flat input."""
        return {name: _fill(value, tensors) for name, value in self.arguments.items()}

    def examples(self) -> dict[str, torch.Tensor]:
        """Return the example of each flat input."""
        return {leaf.name: leaf.example for leaf in self.inputs}

    def expression(self) -> str:
        """Return the call as TorchScript text with the flat inputs called v0, v1 and so on."""
        numbers = {leaf.name: f"v{number}" for number, leaf in enumerate(self.inputs)}
        given = (f"{name}={_text(value, numbers)}" for name, value in self.arguments.items())
        return f"self.inner.forward({', '.join(given)})"


def _fill(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, InputLeaf):
        tensor = tensors[value.name]
        return tensor.item() if value.scalar else tensor
    if isinstance(value, dict):
        return {key: _fill(item, tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fill(item, tensors) for item in value)
    return value


def _text(value: Any, numbers: Mapping[str, str]) -> str:
    if value is None:
        return "None"
    if isinstance(value, InputLeaf):
        return numbers[value.name]
    if isinstance(value, dict):
        items = (f"{json.dumps(key)}: {_text(item, numbers)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item, numbers) for item in value) + "]"
    return "(" + "".join(f"{_text(item, numbers)}, " for item in value) + ")"


def bind_inputs(
    schema: Any,
    stated: Sequence[InputSpec],
    traced: Mapping[str, tuple[str, Sequence[int]]],
    shapes: Mapping[str, DimRange],
) -> ScriptCall:
    """Match the inputs that the user states with the arguments of a module.

    Args:
        schema: Schema of the module's ``forward``.
        stated: Inputs of ``--input``; a named dimension is free.
        traced: Dtype and shape of arguments that the archive recorded.
        shapes: Ranges of named dimensions.

    Raises:
        InputError: If an argument is of a type that cannot be an input, one that is needed is
            not stated, or one that is stated is none.
    """
    binder = _Binder(stated, traced, shapes)
    values: dict[str, Any] = {}
    missing: list[Argument] = []
    notes: list[str] = []
    arguments = schema.arguments[1:]
    for argument in arguments:
        value = binder.bind(argument.type, argument.name)
        if value is not None:
            values[argument.name] = value
        elif argument.has_default_value():
            notes.append(f"argument {argument.name!r} stays at {argument.default_value!r}")
        elif argument.type.kind() == "OptionalType":
            values[argument.name] = None
        else:
            missing.append(Argument(argument.name, argument.type.annotation_str))
    binder.refuse_unknown([argument.name for argument in arguments])
    if missing:
        raise InputError(
            "the archive does not hold dtype and shape of "
            + ", ".join(repr(argument.name) for argument in missing),
            where="--input",
            hint=f"state them, for example {input_flags(missing)}",
        )
    plain = len(values) == len(arguments) and all(
        isinstance(values[argument.name], InputLeaf) and argument.type.kind() != "OptionalType"
        for argument in arguments
    )
    return ScriptCall(tuple(binder.leaves), values, plain, tuple(notes))


class _Binder:
    """Takes statements apart argument by argument."""

    def __init__(
        self,
        stated: Sequence[InputSpec],
        traced: Mapping[str, tuple[str, Sequence[int]]],
        shapes: Mapping[str, DimRange],
    ) -> None:
        self._stated = {spec.name: spec for spec in stated}
        self._traced = traced
        self._shapes = shapes
        self.leaves: list[InputLeaf] = []

    def bind(self, type_: Any, name: str) -> Any:
        """Return a value of leaves for a type; None where nothing of it is stated."""
        kind = type_.kind()
        if kind == "OptionalType":
            return self.bind(type_.getElementType(), name)
        if kind == "TensorType":
            return self._tensor(name)
        if kind in _SCALARS:
            return self._scalar(kind, name)
        if kind == "ListType":
            return self._list(type_.getElementType(), name)
        if kind == "TupleType":
            return self._tuple(type_.elements(), name)
        if kind == "DictType":
            return self._dict(type_, name)
        if self._statements_below(name):
            raise InputError(
                f"argument {name!r} is of type {type_.annotation_str}, which cannot be an input",
                where=f"--input {name}",
                hint="script a module around it that takes tensors and numbers",
            )
        return None

    def _statements_below(self, name: str) -> list[str]:
        return [key for key in self._stated if key == name or key.startswith(f"{name}_")]

    def _tensor(self, name: str) -> InputLeaf | None:
        spec = self._stated.pop(name, None)
        dtype, shape = self._traced.get(name, (None, None))
        if spec is None and (dtype is None or shape is None):
            return None
        if spec is None:
            spec = InputSpec(name, tuple(shape or ()), dtype)
        dims = _dims(spec, shape)
        chosen = getattr(torch, spec.dtype or dtype or "float32", None)
        if not isinstance(chosen, torch.dtype):
            raise InputError(
                f"PyTorch has no dtype {spec.dtype!r}", where=f"--input {name}", hint="use f32"
            )
        sizes = [example_size(dim, self._shapes) for dim in dims]
        return self._add(InputLeaf(name, dims, _example(sizes, chosen)))

    def _scalar(self, kind: str, name: str) -> InputLeaf | None:
        spec = self._stated.pop(name, None)
        if spec is None:
            return None
        dtype, example = _SCALARS[kind]
        wanted = str(dtype).removeprefix("torch.")
        if spec.dims or spec.dtype not in (None, wanted):
            raise InputError(
                f"argument {name!r} is one number, which is the input {name}[]{{{wanted}}}",
                where=f"--input {name}",
                hint=f"state it as --input '{name}[]{{{wanted}}}'",
            )
        return self._add(InputLeaf(name, (), torch.tensor(example, dtype=dtype), scalar=True))

    def _list(self, element: Any, name: str) -> list[Any] | None:
        values: list[Any] = []
        while (value := self.bind(element, f"{name}_{len(values)}")) is not None:
            values.append(value)
        return values or None

    def _tuple(self, elements: Sequence[Any], name: str) -> tuple[Any, ...] | None:
        values = [self.bind(element, f"{name}_{index}") for index, element in enumerate(elements)]
        return None if None in values else tuple(values)

    def _dict(self, type_: Any, name: str) -> dict[str, Any] | None:
        if type_.getKeyType().kind() != "StringType":
            return None
        values: dict[str, Any] = {}
        for key in self._statements_below(name):
            value = self.bind(type_.getValueType(), key) if key != name else None
            if value is not None:
                values[key.removeprefix(f"{name}_")] = value
        return values or None

    def _add(self, leaf: InputLeaf) -> InputLeaf:
        self.leaves.append(leaf)
        return leaf

    def refuse_unknown(self, arguments: Sequence[str]) -> None:
        for name in self._stated:
            raise InputError(
                f"the module's forward has no argument {name!r}",
                where=f"--input {name}",
                hint="its arguments are: " + (", ".join(arguments) or "none"),
            )


def _dims(spec: InputSpec, traced: Sequence[int] | None) -> tuple[int | str, ...]:
    if traced is not None and len(traced) != len(spec.dims):
        raise InputError(
            f"input {spec.name!r} was traced with {len(traced)} dimensions, not {len(spec.dims)}",
            where=f"--input {spec.name}",
            hint="state each: a size, or a name where it is free",
        )
    dims: list[int | str] = []
    for axis, dim in enumerate(spec.dims):
        if dim is None and traced is None:
            raise InputError(
                f"input {spec.name!r} has an open dimension",
                where=f"--input {spec.name}",
                hint="give each dimension a size, or a name if it is free",
            )
        dims.append(traced[axis] if dim is None and traced is not None else dim or 0)
    return tuple(dims)


def _example(sizes: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    if dtype == torch.bool:
        return torch.ones(sizes, dtype=dtype)
    if not dtype.is_floating_point:
        return torch.zeros(sizes, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(sizes, generator=generator).to(dtype)
