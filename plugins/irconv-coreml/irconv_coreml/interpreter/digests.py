"""Comparing the constants of a program with the digests of what was handed over.

A changed weight may show in no output, in a channel that nothing downstream sees. So each weight
that was handed over is looked for among the constants that the saved program holds, which include
the parts of compressed ones: integers, scales and tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interface import WeightDigest
from irconv_coreml.interpreter.program import Block, Constant, Function

__all__ = ["WeightReport", "compare_weights"]


@dataclass(frozen=True)
class WeightReport:
    """What became of the weights that were handed over, by name.

    Attributes:
        equal: Those that the program holds, bit for bit.
        changed: Those that it does not hold.
    """

    equal: tuple[str, ...]
    changed: tuple[str, ...]


def compare_weights(
    functions: Iterable[Function], wanted: Mapping[str, WeightDigest]
) -> WeightReport:
    """Look for each weight among the constants of the functions."""
    sizes = {(weight.dtype, _count(weight.shape)) for weight in wanted.values()}
    held = {
        (array.dtype.name, hashlib.sha256(np.ascontiguousarray(array).data).hexdigest())
        for function in functions
        for array in _constants(function.block)
        if (array.dtype.name, array.size) in sizes
    }
    equal = [name for name, weight in wanted.items() if (weight.dtype, weight.sha256) in held]
    return WeightReport(tuple(equal), tuple(name for name in wanted if name not in set(equal)))


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _constants(block: Block) -> Iterator[Array]:
    """Yield all constants."""
    for operation in block.operations:
        stated = [*operation.attributes.values()]
        for bindings in operation.inputs.values():
            stated += [binding for binding in bindings if isinstance(binding, Constant)]
        for constant in stated:
            if isinstance(constant.value, np.ndarray):
                yield constant.value
        for inner in operation.blocks:
            yield from _constants(inner)
