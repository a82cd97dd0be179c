"""A dictionary whose entries vanish when the graph that added them is left."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["ScopedTable"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class ScopedTable(Generic[_K, _V]):
    """What a body may reuse from its enclosing graphs; entering and leaving cost no copy."""

    def __init__(self) -> None:
        self._table: dict[_K, _V] = {}
        self._added: list[list[_K]] = []

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Drop on leaving whatever was added inside."""
        self._added.append([])
        try:
            yield
        finally:
            for key in self._added.pop():
                del self._table[key]

    def setdefault(self, key: _K, value: _V) -> _V:
        """Return what is stored under ``key``, after storing ``value`` if nothing was."""
        if key not in self._table:
            self._table[key] = value
            self._added[-1].append(key)
        return self._table[key]
