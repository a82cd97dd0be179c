"""Comparing the constants of a program with the digests of what was handed over.

A changed weight may show in no output, in a channel that nothing downstream sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interface import WeightDigest
from irconv_coreml.interpreter.program import Block, Constant, Function, Operation
from irconv_coreml.interpreter.registry import lookup
from irconv_coreml.interpreter.types import MilValue

__all__ = ["missing_weights"]

_COMPRESSED = "constexpr_"


def missing_weights(functions: Iterable[Function], wanted: Mapping[str, WeightDigest]) -> list[str]:
    """Return the names of weights that no constant of the functions equals.

    A constant is only hashed where a wanted one has its dtype and shape.
    """
    kinds = {(digest.dtype, digest.shape) for digest in wanted.values()}
    found = set()
    for function in functions:
        for array in _constants(function.block):
            kind = (array.dtype.name, array.shape)
            if kind in kinds:
                found.add((hashlib.sha256(np.ascontiguousarray(array).data).hexdigest(), *kind))
    return [
        name
        for name, digest in wanted.items()
        if (digest.sha256, digest.dtype, digest.shape) not in found
    ]


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
    definition = lookup(operation.kind)
    if definition is None:
        return {}
    arguments = {key: const.value for key, const in operation.attributes.items() if key != "name"}
    for name, bindings in operation.inputs.items():
        (binding,) = bindings
        arguments[name] = binding.value if isinstance(binding, Constant) else values[binding]
    result = definition.compute(arguments)
    results = result if isinstance(result, tuple) else (result,)
    return dict(zip((output.name for output in operation.outputs), results, strict=True))
