"""Storing constants in 16 bits: FLOAT16 tensors, each read through DEQUANTIZE.

The kernels compute in float32 as before; XNNPACK unpacks the weights once. Tensors that are
FLOAT16 throughout would not do: many kernels lack that dtype.
"""

from __future__ import annotations

import numpy as np

from irconv_tflite.emit.graph import Constant, Operator, Subgraph, Tensor
from irconv_tflite.emit.writer import Names

__all__ = ["halve_constants", "halves"]

_FEWEST_BYTES = 128
_LARGEST = float(np.finfo(np.float16).max)


def halve_constants(subgraph: Subgraph, names: Names) -> int:
    """Replace the larger float32 constants of a subgraph; return how many.

    A constant with a finite number beyond float16's range stays as it is.

    Args:
        subgraph: The subgraph, changed in place.
        names: Names of all tensors of the model.
    """
    unpacked: dict[Tensor, Tensor] = {}
    operators: list[Operator] = []
    for operator in subgraph.operators:
        for tensor in operator.inputs:
            if tensor is None or tensor in unpacked or not _fits(tensor):
                continue
            result = Tensor("float32", tensor.shape, names.fresh(f"{tensor.name}_unpacked"))
            operators.append(Operator("DEQUANTIZE", [_halved(tensor)], [result]))
            unpacked[tensor] = result
    for operator in subgraph.operators:
        operator.inputs = [
            None if tensor is None else unpacked.get(tensor, tensor) for tensor in operator.inputs
        ]
    subgraph.operators = [*operators, *subgraph.operators]
    return len(operators)


def halves(tensor: Tensor) -> bool:
    """Return whether a constant is stored in 16 bits unless its numbers are beyond float16."""
    constant = tensor.constant
    return constant is not None and tensor.dtype == "float32" and constant.nbytes >= _FEWEST_BYTES


def _fits(tensor: Tensor) -> bool:
    constant = tensor.constant
    if constant is None or not halves(tensor):
        return False
    array = constant.load()
    finite = array[np.isfinite(array)]
    return not finite.size or bool(max(finite.max(), -finite.min()) <= _LARGEST)


def _halved(tensor: Tensor) -> Tensor:
    constant = tensor.constant
    assert constant is not None
    half = Constant(lambda: constant.load().astype(np.float16), constant.nbytes // 2)
    return Tensor("float16", tensor.shape, tensor.name, half)
