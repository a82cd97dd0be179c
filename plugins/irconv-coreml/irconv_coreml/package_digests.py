"""Digests of the weights that a package is to hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interface import WeightDigest

__all__ = ["LEAST_DIGESTED", "operations", "package_digests"]

LEAST_DIGESTED = 32
"""Constants with fewer elements have no digest: MIL keeps the smallest in the program's text."""


def package_digests(
    converted: Any, weights: Mapping[str, Array], *, half: bool
) -> dict[str, WeightDigest]:
    """Return the digest of each weight that coremltools has not folded into others.

    Every weight is hashed once: a constant that is still the memory that was handed over needs
    no digest of its own.

    Args:
        converted: The ``coremltools`` program in memory, as it is written.
        weights: Large constants by their names, as they were handed over.
        half: Whether floats were brought to float16.
    """
    digests: dict[str, WeightDigest] = {}
    known: dict[tuple[Any, ...], str] = {}
    for name, array in weights.items():
        stored = array.astype(np.float16) if half and array.dtype == np.float32 else array
        digests[name] = WeightDigest(_sha256(stored), stored.dtype.name, stored.shape)
        if stored is array:
            known[_place(array)] = digests[name].sha256
    present = {
        known.get(_place(array)) or _sha256(array)
        for function in converted.functions.values()
        for array in _large_constants(function)
    }
    return {name: digest for name, digest in digests.items() if digest.sha256 in present}


def operations(block: Any) -> Iterator[Any]:
    """Yield the operations of a block and of those inside it."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from operations(inner)


def _large_constants(function: Any) -> Iterator[Array]:
    for operation in operations(function):
        value = operation.val.val if operation.op_type == "const" else None
        if isinstance(value, np.ndarray) and value.size >= LEAST_DIGESTED:
            yield value


def _place(array: Array) -> tuple[Any, ...]:
    """Return what two arrays share only if they are the same memory, read in the same way."""
    return array.ctypes.data, array.dtype.str, array.shape, array.strides


def _sha256(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
