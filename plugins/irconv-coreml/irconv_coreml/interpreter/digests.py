"""Comparing the constants of a program with the digests of what was handed over.

A changed weight may show in no output, in a channel that nothing downstream sees. So each weight
that was handed over is looked for among the constants that the saved program holds, the values
that compressed ones unpack to included. coremltools may transpose a matrix, for which its digest
is compared too, or reshape a constant. It may also compute with one while it converts; then there
is nothing of that size left that could be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interface import WeightDigest
from irconv_coreml.interpreter.program import Block, Constant, Function, Operation
from irconv_coreml.interpreter.registry import lookup
from irconv_coreml.interpreter.types import MilValue

__all__ = ["WeightReport", "compare_weights"]

_COMPRESSED = "constexpr_"
_MATRIX = 2


@dataclass(frozen=True)
class WeightReport:
    """What became of the weights that were handed over, by name.

    Attributes:
        equal: Those that the program holds, bit for bit.
        changed: Those that it does not hold, while it holds a constant of the same dtype and
            number of elements that nobody handed over.
        absorbed: Those of which nothing is left to compare.
    """

    equal: tuple[str, ...]
    changed: tuple[str, ...]
    absorbed: tuple[str, ...]


def compare_weights(
    functions: Iterable[Function], wanted: Mapping[str, WeightDigest]
) -> WeightReport:
    """Look for each weight among the constants of the functions."""
    digests = {(weight.dtype, weight.sha256) for weight in wanted.values()}
    sizes = {(weight.dtype, _count(weight.shape)) for weight in wanted.values()}
    held: set[tuple[str, str]] = set()
    strangers: set[tuple[str, int]] = set()
    for function in functions:
        for array in _constants(function.block):
            if (array.dtype.name, array.size) not in sizes:
                continue
            matching = _matching(array, digests)
            if matching is None:
                strangers.add((array.dtype.name, array.size))
            else:
                held.add(matching)
    lost = [name for name, weight in wanted.items() if (weight.dtype, weight.sha256) not in held]
    changed = [
        name for name in lost if (wanted[name].dtype, _count(wanted[name].shape)) in strangers
    ]
    return WeightReport(
        equal=tuple(name for name in wanted if name not in set(lost)),
        changed=tuple(changed),
        absorbed=tuple(name for name in lost if name not in set(changed)),
    )


def _matching(array: Array, digests: set[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the digest that an array has, as it is or transposed."""
    for form in (array, array.T) if array.ndim == _MATRIX else (array,):
        key = (array.dtype.name, hashlib.sha256(np.ascontiguousarray(form).data).hexdigest())
        if key in digests:
            return key
    return None


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _constants(block: Block) -> Iterator[Array]:
    """Yield all constants, and what compressed ones unpack to."""
    values: dict[str, MilValue] = {}
    for operation in block.operations:
        for bindings in operation.inputs.values():
            stated = [binding.value for binding in bindings if isinstance(binding, Constant)]
            yield from (value for value in stated if isinstance(value, np.ndarray))
        if operation.kind == "const":
            values[operation.outputs[0].name] = operation.attributes["val"].value
        elif operation.kind.startswith(_COMPRESSED):
            values.update(_decompress(operation, values))
        for inner in operation.blocks:
            yield from _constants(inner)
    yield from (value for value in values.values() if isinstance(value, np.ndarray))


def _decompress(operation: Operation, values: Mapping[str, MilValue]) -> dict[str, MilValue]:
    """Return what a compressed constant unpacks to; nothing where running it will fail."""
    definition = lookup(operation.kind)
    if definition is None:
        return {}
    arguments = {key: const.value for key, const in operation.attributes.items() if key != "name"}
    try:
        for name, bindings in operation.inputs.items():
            (binding,) = bindings
            arguments[name] = binding.value if isinstance(binding, Constant) else values[binding]
        result = definition.compute(arguments)
        results = result if isinstance(result, tuple) else (result,)
        return dict(zip((output.name for output in operation.outputs), results, strict=True))
    except (ValueError, TypeError, KeyError, IndexError):
        return {}
