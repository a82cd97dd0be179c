"""Seeded inputs for small test models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from irconv.errors import InputError
from irconv.runtime.base import Array, TensorSpec
from irconv.runtime.values import numpy_dtype

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["random_array", "random_feeds"]

_OPEN_DIM = 3
_INTEGER_BOUND = 3


def random_feeds(
    model: ir.Model, *, seed: int = 0, dims: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Return one seeded array for every input of ``model``.

    Floating-point values are standard normal, integers lie in ``0 .. 2`` so that they serve as
    indices, booleans are fair coins.

    Args:
        model: The model.
        seed: Seed of the generator.
        dims: Sizes of named dimensions; those left out are 3.

    Raises:
        InputError: If an input is no tensor, or its rank is unknown.
    """
    from irconv.graph.interface import input_specs

    return feeds_for(input_specs(model), seed=seed, dims=dims or {})


def feeds_for(
    specs: Iterable[TensorSpec], *, seed: int, dims: Mapping[str, int]
) -> dict[str, Array]:
    """Return one seeded array for every spec; see :func:`random_feeds`."""
    generator = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for spec in specs:
        if spec.kind != "tensor" or spec.shape is None:
            raise InputError(f"no array can be made up for input {spec}", where="test inputs")
        shape = [
            dim if isinstance(dim, int) else dims.get(dim or "", _OPEN_DIM) for dim in spec.shape
        ]
        feeds[spec.name] = random_array(generator, spec.dtype, shape)
    return feeds


def random_array(generator: np.random.Generator, dtype: str, shape: Iterable[int]) -> Array:
    """Return an array of the full dtype name ``dtype``; see :func:`random_feeds`."""
    kind = numpy_dtype(dtype)
    size = tuple(shape)
    if dtype == "bool":
        return generator.integers(0, 2, size).astype(kind)
    if dtype == "string":
        return generator.choice(np.array(["a", "b", "c"], dtype=object), size)
    if kind.kind in "iu":
        return generator.integers(0, _INTEGER_BOUND, size).astype(kind)
    if kind.kind == "c":
        parts = generator.standard_normal(size) + 1j * generator.standard_normal(size)
        return np.asarray(parts).astype(kind)
    return np.asarray(generator.standard_normal(size)).astype(kind)
