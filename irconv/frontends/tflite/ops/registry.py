"""The one registry of converters.

The contract of a converter::

    @converts("RELU")
    def relu(site: Site) -> None:
        ...

* It reads its inputs by :meth:`Site.input`, as real numbers (:meth:`Edge.real`), as they are
  stored (:meth:`Edge.raw`) or as weights in another order (:meth:`Edge.weight`), with channels
  last, or first where ``first=True``.
* It binds every output, by :meth:`Site.write` or the edge's ``set_real`` and ``set_raw``.
* What ONNX cannot say it refuses by raising :class:`RefusalError`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from irconv.frontends.tflite import ops

if TYPE_CHECKING:
    from irconv.frontends.tflite.site import Site

__all__ = ["Converter", "converter_of", "converts", "known_codes"]

Converter = Callable[["Site"], None]

_CONVERTERS: dict[str, Converter] = {}


def converts(*codes: str) -> Callable[[Converter], Converter]:
    """Register a converter for operators."""

    def register(function: Converter) -> Converter:
        for code in codes:
            assert code not in _CONVERTERS, code
            _CONVERTERS[code] = function
        return function

    return register


def converter_of(code: str) -> Converter:
    """Return the converter of an operator that is known."""
    _load()
    return _CONVERTERS[code]


def known_codes() -> frozenset[str]:
    """Return the operators that have converters."""
    _load()
    return frozenset(_CONVERTERS)


@functools.cache
def _load() -> None:
    for module in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
        importlib.import_module(module.name)
