"""What a factory gives, as one function of named arrays.

This module needs JAX and is imported in the worker process only. A factory returns

* ``(function, example_args)``,
* an ``nnx.Module`` or a function alone, whose inputs ``--input`` states,
* ``(nnx_module, example_args)``, or
* ``(linen_module, variables, example_args)``.

Example arguments are arrays, ``jax.ShapeDtypeStruct`` or trees of them; a name among the sizes
of a ``ShapeDtypeStruct`` is a free dimension.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from flax import linen, nnx

from irconv.errors import InputError
from irconv.frontends.factories import call_factory, first_line, user_line
from irconv.frontends.names import free_name, leaf_name
from irconv.runtime.base import TensorSpec
from irconv.shapes import InputSpec

__all__ = ["Program", "open_program"]

_WHERE = "frontend jax"
_RETURNS = (
    "(function, example_args), an nnx.Module, (nnx_module, example_args) or "
    "(linen_module, variables, example_args)"
)


@dataclass
class Program:
    """A function of flat arrays.

    Attributes:
        call: Takes the arrays in the order of ``inputs``; returns the flat outputs.
        inputs: Name, dtype and shape of each; names among the sizes are free dimensions.
        examples: An array for each input; None where the source gave shapes only.
        outputs: Names of the outputs; known after the first trace.
        notes: What was changed.
    """

    call: Callable[..., list[Any]]
    inputs: list[TensorSpec]
    examples: list[Any] | None
    outputs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_program(target: str, stated: Sequence[InputSpec]) -> Program:
    """Call a factory and name the arrays that its function takes.

    Raises:
        InputError: If the factory fails, returns another thing, or the inputs do not fit.
    """
    function, args, notes = _unpack(target, call_factory(target, where=_WHERE, returns=_RETURNS))
    names = _parameters(function)
    if args is None:
        args = _arguments(names, stated)
    leaves, tree = jax.tree.flatten_with_path(tuple(args))
    fixed: dict[int, Any] = {}
    inputs: list[TensorSpec] = []
    examples: list[Any] = []
    taken: set[str] = set()
    for index, (path, leaf) in enumerate(leaves):
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            fixed[index] = leaf
            continue
        root = names[path[0].idx] if path[0].idx < len(names) else f"input_{path[0].idx}"
        name = free_name(leaf_name([root, *map(_step, path[1:])]), taken)
        inputs.append(_spec(name, leaf))
        examples.append(leaf)
    if not inputs:
        raise InputError("the function takes no arrays", where=_WHERE, hint="give example_args")
    inputs = _restated(inputs, stated)
    concrete = all(not isinstance(leaf, jax.ShapeDtypeStruct) for leaf in examples)
    if fixed:
        notes.append(f"{len(fixed)} arguments are no arrays and were fixed")

    def call(*arrays: Any) -> list[Any]:
        given = iter(arrays)
        filled = [fixed[i] if i in fixed else next(given) for i in range(len(leaves))]
        result = function(*jax.tree.unflatten(tree, filled))
        flat = jax.tree.flatten_with_path(result)[0]
        program.outputs = _output_names([path for path, _ in flat], {spec.name for spec in inputs})
        return [leaf for _, leaf in flat]

    program = Program(call, inputs, examples if concrete else None, notes=notes)
    return program


def _unpack(target: str, result: Any) -> tuple[Callable[..., Any], Any, list[str]]:
    parts = list(result) if isinstance(result, tuple) else [result]
    notes: list[str] = []
    if isinstance(parts[0], linen.Module):
        if len(parts) != 3:
            raise _wrong(target, "returned a linen module without variables and example_args")
        module, variables = parts[0], parts.pop(1)

        def function(*args: Any) -> Any:
            return module.apply(variables, *args)

        names = list(inspect.signature(module.__call__).parameters)
        function.irconv_names = names  # type: ignore[attr-defined]
        parts[0] = function
    elif isinstance(parts[0], nnx.Module):
        parts[0].eval()
        notes.append("the module was set to evaluation")
    if not callable(parts[0]) or isinstance(parts[0], type) or len(parts) > 2:
        raise _wrong(target, f"returned {', '.join(type(part).__name__ for part in parts)}")
    args = parts[1] if len(parts) == 2 else None
    if args is not None and not isinstance(args, (tuple, list)):
        args = (args,)
    return parts[0], args, notes


def _wrong(target: str, what: str) -> InputError:
    return InputError(f"{target} {what}", where=_WHERE, hint=f"return {_RETURNS}")


def _parameters(function: Any) -> list[str]:
    """Return the names of positional arguments."""
    if hasattr(function, "irconv_names"):
        return list(function.irconv_names)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in positional]


def _arguments(names: Sequence[str], stated: Sequence[InputSpec]) -> list[Any]:
    """Return a shape for each stated input, in the order of the function's arguments."""
    if not stated:
        raise InputError(
            "the factory gives no example arguments, and no inputs are stated",
            where="--input",
            hint=f"state each input, for example --input '{(*names, 'x')[0]}[batch,16]{{f32}}'",
        )
    by_name = {spec.name: spec for spec in stated}
    wanted = [name for name in names if name in by_name]
    unknown = sorted(set(by_name) - set(names))
    if unknown or wanted != list(names)[: len(wanted)]:
        raise InputError(
            f"the function has no argument {unknown[0]!r}"
            if unknown
            else "the stated inputs leave an argument out",
            where="--input",
            hint="its arguments are: " + ", ".join(names),
        )
    return [_struct(by_name[name]) for name in wanted]


def _struct(spec: InputSpec) -> jax.ShapeDtypeStruct:
    if None in spec.dims:
        raise InputError(
            f"input {spec.name!r} has an open dimension",
            where=f"--input {spec.name}",
            hint="give each dimension a size, or a name if it is free",
        )
    try:
        return jax.ShapeDtypeStruct(spec.dims, jax.numpy.dtype(spec.dtype or "float32"))
    except TypeError as error:
        raise InputError(
            f"JAX has no dtype {spec.dtype!r}", where=f"--input {spec.name}", hint="use f32"
        ) from error


def _spec(name: str, leaf: Any) -> TensorSpec:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise InputError(
            f"the argument {name!r} is a key of random numbers, which no target takes",
            where=_WHERE,
            hint="close over the key, and draw nothing at inference",
        )
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in leaf.shape)
    return TensorSpec(name, np.dtype(leaf.dtype).name, shape)


def _step(key: Any) -> str | int:
    step: str | int = (
        key.idx if hasattr(key, "idx") else str(key.key if hasattr(key, "key") else key.name)
    )
    return step


def _output_names(paths: Sequence[Any], taken: set[str]) -> list[str]:
    used = set(taken)
    return [free_name(leaf_name([_step(key) for key in path]), used) for path in paths]


def _restated(inputs: list[TensorSpec], stated: Sequence[InputSpec]) -> list[TensorSpec]:
    """Return the inputs with the free dimensions that the user names."""
    by_name = {spec.name: spec for spec in stated}
    unknown = sorted(set(by_name) - {spec.name for spec in inputs})
    if unknown:
        raise InputError(
            f"the function has no input {unknown[0]!r}",
            where=f"--input {unknown[0]}",
            hint="its inputs are: " + "; ".join(map(str, inputs)),
        )
    result = []
    for spec in inputs:
        statement = by_name.get(spec.name)
        if statement is None:
            result.append(spec)
            continue
        shape = spec.shape or ()
        fits = len(shape) == len(statement.dims) and statement.dtype in (None, spec.dtype)
        for wanted, dim in zip(statement.dims, shape, strict=False):
            fits = fits and (not isinstance(wanted, int) or wanted == dim or isinstance(dim, str))
        if not fits:
            raise InputError(
                f"--input does not fit the input {spec}",
                where=f"--input {spec.name}",
                hint="give its rank, sizes and dtype, with names for the free dimensions",
            )
        dims = tuple(
            own if wanted is None else wanted
            for wanted, own in zip(statement.dims, shape, strict=True)
        )
        result.append(TensorSpec(spec.name, spec.dtype, dims))
    return result


def describe_failure(error: BaseException, what: str) -> InputError:
    """Return the error for a function that cannot be traced or run."""
    return InputError(
        f"{what}: {first_line(error)}",
        where=user_line(error, _WHERE),
        hint="the shapes may only depend on shapes of inputs, and values on no Python 'if'; "
        "state fewer free dimensions, or fix what varies",
    )
