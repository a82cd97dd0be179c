"""The operators that the interpreter knows, one function each.

A function takes the operator's parameters by their MIL names, with MIL's defaults, and returns
the value, or a tuple of values, that the operator produces. Constants arrive as arrays (scalars
of rank 0) or ``str``; a parameter that takes several values arrives as a tuple.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from irconv_coreml.interpreter.types import MilValue

__all__ = ["Definition", "interprets", "known_operators", "lookup"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_REGISTRY: dict[str, Definition] = {}
_CONTEXT = "context"


@dataclass(frozen=True)
class Definition:
    """How one operator is computed.

    Attributes:
        function: Its function.
        since: Number of the first operator set that has it: 5 for iOS 15 up to 8 for iOS 18.
        wide: Whether float16 is computed in float32 and rounded once at the end.
        needs_context: Whether the function takes ``context``, to run blocks.
    """

    function: Callable[..., Any]
    since: int
    wide: bool
    needs_context: bool

    def explain_arguments(self, names: set[str]) -> str:
        """Return what is wrong with the parameters that a program gives, or nothing."""
        unknown = names - self._all
        missing = self._required - names
        if unknown and not self._takes_any:
            return f"it has no parameter {', '.join(sorted(unknown))}"
        return f"its parameter {', '.join(sorted(missing))} is missing" if missing else ""

    @functools.cached_property
    def _parameters(self) -> list[inspect.Parameter]:
        parameters = inspect.signature(self.function).parameters.values()
        return [parameter for parameter in parameters if parameter.name != _CONTEXT]

    @functools.cached_property
    def _takes_any(self) -> bool:
        return any(parameter.kind is parameter.VAR_KEYWORD for parameter in self._parameters)

    @functools.cached_property
    def _all(self) -> set[str]:
        return {parameter.name for parameter in self._parameters}

    @functools.cached_property
    def _required(self) -> set[str]:
        return {
            parameter.name
            for parameter in self._parameters
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        }

    def compute(self, arguments: dict[str, MilValue]) -> Any:
        """Compute the operator; float16 is stored in 16 bits and computed in 32 where wide."""
        if not self.wide:
            return self.function(**arguments)
        floats = [value.dtype for value in _flat(arguments.values()) if _is_float(value)]
        widened = {name: _widen(value) for name, value in arguments.items()}
        result = self.function(**widened)
        if floats and floats[0] == np.float16:
            return _narrow(result)
        return result


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype in (np.float16, np.float32)


def _widen(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_widen(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return value


def _narrow(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_narrow(item) for item in value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype in (np.float32, np.float64):
        return value.astype(np.float16)
    return value


def interprets(*kinds: str, since: int = 5, wide: bool = False) -> Callable[[_Function], _Function]:
    """Register a function as the meaning of operators.

    Args:
        kinds: The operators.
        since: See :class:`Definition`.
        wide: See :class:`Definition`.
    """

    def register(function: _Function) -> _Function:
        needs_context = _CONTEXT in inspect.signature(function).parameters
        for kind in kinds:
            if kind in _REGISTRY:
                raise ValueError(f"{kind} is interpreted twice")
            _REGISTRY[kind] = Definition(function, since, wide, needs_context)
        return function

    return register


@functools.cache
def _load_all() -> None:
    from irconv_coreml.interpreter import operators

    for module in pkgutil.iter_modules(operators.__path__):
        importlib.import_module(f"{operators.__name__}.{module.name}")


def lookup(kind: str) -> Definition | None:
    """Return the definition of an operator, or None where it is not known."""
    _load_all()
    return _REGISTRY.get(kind)


def known_operators() -> frozenset[str]:
    """Return the names of all operators that are known."""
    _load_all()
    return frozenset(_REGISTRY)
