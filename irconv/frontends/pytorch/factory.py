"""Calling a user's ``module:factory`` and preparing what ``torch.export`` needs of it.

This module needs PyTorch, runs the user's code and is imported in the worker process only.
A factory returns a module, ``(module, example_args)`` or ``(module, example_args,
example_kwargs)``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from irconv.errors import InputError
from irconv.frontends import factories
from irconv.frontends.pytorch.signature import path_name
from irconv.shapes import DimRange, InputSpec

__all__ = ["Source", "call_factory", "example_size", "prepare", "user_line"]

_WHERE = "frontend pytorch"
_EXAMPLE_SIZE = 4
"""Size of a dimension whose range the user left open; 0 and 1 would be taken as constants."""
_LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (torch, importlib))
"""Code that is not the user's; a model may well be a library's."""


@dataclass
class Source:
    """A module and how it is called.

    Attributes:
        module: The module, in evaluation mode.
        args: Positional arguments to trace with.
        kwargs: Keyword arguments to trace with.
        examples: The ``(args, kwargs)`` that the factory gave, where it gave any.
        dynamic_shapes: What ``torch.export.export`` takes under that name.
        notes: What was changed.
    """

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    examples: tuple[tuple[Any, ...], dict[str, Any]] | None
    dynamic_shapes: dict[str, Any] | None
    notes: list[str]


def user_line(error: BaseException) -> str:
    """Return ``file:line in function`` of the innermost frame outside of PyTorch and irconv."""
    return factories.user_line(error, _WHERE, _LIBRARIES)


def call_factory(target: str) -> tuple[torch.nn.Module, tuple[Any, ...] | None, dict[str, Any]]:
    """Import ``package.module``, call ``factory`` and check what it returned.

    Raises:
        InputError: If the module or the factory is not there, raises, or returns another thing.
    """
    factory = factories.find_user_code(target, _WHERE, _LIBRARIES)
    if isinstance(factory, torch.nn.Module):
        return factory, None, {}
    if not callable(factory):
        raise _wrong(target, f"is a {type(factory).__name__}, not a function")
    result = factories.call_user_code(
        target, factory, _WHERE, "a torch.nn.Module", libraries=_LIBRARIES
    )
    return _unpack(target, result)


def _unpack(
    target: str, result: Any
) -> tuple[torch.nn.Module, tuple[Any, ...] | None, dict[str, Any]]:
    parts = result if isinstance(result, tuple) else (result,)
    if not 1 <= len(parts) <= 3:
        raise _wrong(target, f"returned a tuple of {len(parts)}")
    module = parts[0]
    if isinstance(module, torch.jit.ScriptModule):
        raise _wrong(target, "returned a TorchScript module, which torch.export cannot read")
    if not isinstance(module, torch.nn.Module):
        raise _wrong(target, f"returned a {type(module).__name__}")
    if len(parts) == 1:
        return module, None, {}
    args = parts[1]
    if isinstance(args, torch.Tensor):
        args = (args,)
    kwargs = parts[2] if len(parts) == 3 else {}
    if not isinstance(args, (tuple, list)) or not isinstance(kwargs, dict):
        raise _wrong(target, "returned example inputs that are no tuple and dict")
    return module, tuple(args), dict(kwargs)


def _wrong(target: str, what: str) -> InputError:
    return InputError(
        f"{target} {what}",
        where=_WHERE,
        hint="return a torch.nn.Module, (module, example_args) or (module, args, kwargs)",
    )


def prepare(
    module: torch.nn.Module,
    args: tuple[Any, ...] | None,
    kwargs: dict[str, Any],
    stated: Sequence[InputSpec],
    shapes: Mapping[str, DimRange],
) -> Source:
    """Set a module to evaluation, and find its example inputs and free dimensions.

    Args:
        module: The module.
        args: Example inputs; None where there are none.
        kwargs: Example inputs by keyword.
        stated: Inputs of ``--input``; a named dimension is free.
        shapes: Ranges of named dimensions.

    Raises:
        InputError: If the inputs do not fit the module.
    """
    notes: list[str] = []
    training = sum(1 for part in module.modules() if part.training)
    module.eval()
    if training:
        notes.append(f"{training} modules were in training mode; all were set to evaluation")
    if any(tensor.device.type != "cpu" for tensor in module.state_dict().values()):
        module.cpu()
        notes.append("the module was moved to the CPU")
    given = args is not None
    if args is None:
        args, kwargs = _zeros(module, stated, shapes)
    args, kwargs = pytree.tree_map_only(torch.Tensor, lambda t: t.detach().cpu(), (args, kwargs))
    arguments = _bind(module, args, kwargs)
    dynamic, traced = _dynamic_shapes(arguments, stated, shapes)
    examples = (args, kwargs) if given else None
    args, kwargs = pytree.tree_map_only(
        torch.Tensor, lambda tensor: traced.get(id(tensor), tensor), (args, kwargs)
    )
    return Source(module, args, kwargs, examples, dynamic, notes)


def _zeros(
    module: torch.nn.Module, stated: Sequence[InputSpec], shapes: Mapping[str, DimRange]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = inspect.signature(module.forward).parameters
    if not stated:
        raise InputError(
            "the module comes without example inputs, and none are stated",
            where="--input",
            hint="state each input, for example "
            + " ".join(f"--input '{name}[batch,3,224,224]{{f32}}'" for name in [*parameters][:1]),
        )
    tensors = {spec.name: _zero(spec, shapes) for spec in stated}
    args: list[Any] = []
    for name, parameter in parameters.items():
        positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if not positional or name not in tensors:
            break
        args.append(tensors.pop(name))
    unknown = [name for name in tensors if name not in parameters]
    if unknown and not any(item.kind == item.VAR_KEYWORD for item in parameters.values()):
        raise InputError(
            f"the module's forward has no argument {unknown[0]!r}",
            where=f"--input {unknown[0]}",
            hint="its arguments are: " + ", ".join(parameters),
        )
    return tuple(args), tensors


def _zero(spec: InputSpec, shapes: Mapping[str, DimRange]) -> torch.Tensor:
    if None in spec.dims:
        raise InputError(
            f"input {spec.name!r} has an open dimension",
            where=f"--input {spec.name}",
            hint="give each dimension a size, or a name if it is free",
        )
    dtype = getattr(torch, spec.dtype or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(
            f"PyTorch has no dtype {spec.dtype!r}", where=f"--input {spec.name}", hint="use f32"
        )
    return torch.zeros([example_size(dim, shapes) for dim in spec.dims], dtype=dtype)


def example_size(dim: int | str | None, shapes: Mapping[str, DimRange]) -> int:
    """Return the size of a dimension to trace with: no 0 or 1 where it is free."""
    if isinstance(dim, int):
        return dim
    bounds = shapes.get(str(dim))
    if bounds is None:
        return _EXAMPLE_SIZE
    if bounds.bound or bounds.best >= 2:
        return max(bounds.best, 2)
    return min(bounds.maximum, _EXAMPLE_SIZE)


def _bind(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise InputError(
            f"the inputs do not fit the module's forward: {error}",
            where=_WHERE,
            hint="its arguments are: " + ", ".join(inspect.signature(module.forward).parameters),
        ) from error


def _dynamic_shapes(
    arguments: dict[str, Any], stated: Sequence[InputSpec], shapes: Mapping[str, DimRange]
) -> tuple[dict[str, Any] | None, dict[int, torch.Tensor]]:
    """Find the free dimensions of each argument, and the tensors to trace with.

    Returns:
        What ``torch.export.export`` takes as ``dynamic_shapes``, and by identity of an example
        tensor the tensor to trace instead, where a free dimension has a size that tracing would
        take as a constant.
    """
    by_name = {spec.name: spec for spec in stated}
    leaves, tree = pytree.tree_flatten_with_path(arguments)
    dims = _Dims(shapes)
    specs: list[Any] = []
    resized: dict[int, torch.Tensor] = {}
    for path, leaf in leaves:
        spec = by_name.pop(path_name(path, ""), None)
        if spec is None or not isinstance(leaf, torch.Tensor):
            specs.append(None)
            continue
        _check_fit(spec, leaf)
        free = {axis: dim for axis, dim in enumerate(spec.dims) if isinstance(dim, str)}
        specs.append({axis: dims.get(dim) for axis, dim in free.items()} or None)
        resized[id(leaf)] = dims.resize(leaf, free)
    if by_name:
        unknown = next(iter(by_name))
        raise InputError(
            f"the module is not given an input {unknown!r}",
            where=f"--input {unknown}",
            hint="its inputs are: " + ", ".join(path_name(path, "") for path, _ in leaves),
        )
    return (pytree.tree_unflatten(specs, tree) if dims.used else None), resized


def _check_fit(spec: InputSpec, leaf: torch.Tensor) -> None:
    fits = len(spec.dims) == leaf.dim() and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.dims, leaf.shape, strict=True)
    )
    dtype = str(leaf.dtype).removeprefix("torch.")
    if not fits or spec.dtype not in (None, dtype):
        raise InputError(
            f"--input does not fit the example input {spec.name!r}, which is "
            f"{dtype}{list(leaf.shape)}",
            where=f"--input {spec.name}",
            hint="give its rank, sizes and dtype, with names for the free dimensions",
        )


class _Dims:
    """The free dimensions by name, shared by all inputs that name them."""

    def __init__(self, shapes: Mapping[str, DimRange]) -> None:
        self.used: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._shapes = shapes

    def get(self, name: str) -> Any:
        if name not in self.used:
            label = name if name.isidentifier() else f"dim_{len(self.used)}"
            bounds = self._shapes.get(name)
            self.used[name] = (
                torch.export.Dim(label)
                if bounds is None or bounds.bound
                else torch.export.Dim(label, min=bounds.minimum, max=bounds.maximum)
            )
        return self.used[name]

    def resize(self, leaf: torch.Tensor, free: Mapping[int, str]) -> torch.Tensor:
        """Return the tensor with each free axis at a size that stands for all sizes."""
        for axis, name in free.items():
            given = leaf.shape[axis]
            size = self._sizes.setdefault(name, self._traced_size(name, given))
            if size != given:
                index = torch.arange(size) % max(given, 1)
                leaf = (
                    leaf.index_select(axis, index)
                    if given
                    else leaf.new_zeros([*leaf.shape[:axis], size, *leaf.shape[axis + 1 :]])
                )
        return leaf

    def _traced_size(self, name: str, given: int) -> int:
        bounds = self._shapes.get(name)
        if given >= 2 and (bounds is None or bounds.minimum <= given <= bounds.maximum):
            return given
        return example_size(name, self._shapes)
