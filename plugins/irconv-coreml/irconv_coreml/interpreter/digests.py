"""Comparing the constants of a program with the digests of what was handed over.

A changed weight may show in no output, in a channel that nothing downstream sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interface import WeightDigest
from irconv_coreml.interpreter.program import Block, Constant, Function
from irconv_coreml.interpreter.registry import lookup

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
                found.add((hashlib.sha256(np.ascontiguousarray(array)).hexdigest(), *kind))
    return [
        name
        for name, digest in wanted.items()
        if (digest.sha256, digest.dtype, digest.shape) not in found
    ]


def _constants(block: Block) -> Iterator[Array]:
    """Yield all constants, and what compressed ones unpack to."""
    values: dict[str, object] = {}
    for operation in block.operations:
        stated = {name: constant.value for name, constant in operation.attributes.items()}
        for name, bindings in operation.inputs.items():
            for binding in bindings:
                stated[name] = (
                    binding.value if isinstance(binding, Constant) else values.get(binding)
                )
                if isinstance(binding, Constant) and isinstance(binding.value, np.ndarray):
                    yield binding.value
        if operation.kind == "const":
            values[operation.outputs[0].name] = stated["val"]
            if isinstance(stated["val"], np.ndarray):
                yield stated["val"]
        definition = lookup(operation.kind)
        if operation.kind.startswith(_COMPRESSED) and definition is not None:
            stated.pop("name", None)
            result = definition.compute(stated)  # type: ignore[arg-type]
            if isinstance(result, np.ndarray):
                values[operation.outputs[0].name] = result
                yield result
        for inner in operation.blocks:
            yield from _constants(inner)
