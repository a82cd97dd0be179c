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

    A constant that is still the memory that was handed over is not hashed a second time. One
    that was equal to it may be gone; so those that stay come first.

    Args:
        converted: The ``coremltools`` program in memory, as it is written.
        weights: Large constants by their names, as they were handed over.
        half: Whether floats were brought to float16.
    """
    ours = {_place(array) for array in weights.values()}
    in_place: set[tuple[Any, ...]] = set()
    present: set[str] = set()
    for array in _large_constants(converted):
        if _place(array) in ours:
            in_place.add(_place(array))
        else:
            present.add(_sha256(array))
    digests: dict[str, WeightDigest] = {}
    for name, array in sorted(weights.items(), key=lambda item: _place(item[1]) not in in_place):
        stays = _place(array) in in_place
        for form in _forms(array, half=half and not stays):
            digest = WeightDigest(_sha256(form), form.dtype.name, form.shape)
            if stays or digest.sha256 in present:
                present.add(digest.sha256)
                digests[name] = digest
                break
    return digests


def _forms(array: Array, *, half: bool) -> Iterator[Array]:
    """Yield a weight as coremltools may have stored it."""
    if half and array.dtype == np.float32:
        with np.errstate(over="ignore"):
            yield array.astype(np.float16)
    yield array


def operations(block: Any) -> Iterator[Any]:
    """Yield the operations of a block and of those inside it."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from operations(inner)


def _large_constants(program: Any) -> Iterator[Array]:
    for function in program.functions.values():
        for operation in operations(function):
            value = operation.val.val if operation.op_type == "const" else None
            if isinstance(value, np.ndarray) and value.size >= LEAST_DIGESTED:
                yield value


def _place(array: Array) -> tuple[Any, ...]:
    """Return what two arrays share only if they are the same memory, read in the same way."""
    return array.ctypes.data, array.dtype.str, array.shape, array.strides


def _sha256(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
